"""A training run. May import `network`, `data` and `pictures`.

Read in this order, from the entry down:
    loop           `train`: step after step, until the run ends or is stopped
    state          all that a step changes, and the step
    optim          clip, Adam, learning rate
    memory         whether a step has room at all
    run            a run on disk: its folder, configuration, weights
    split          data.json: what it learns from, and what it keeps out
    checkpoints    Orbax
    meter          what a line of figures says
    record         metrics.jsonl
    log            bar, lines, TensorBoard
    curves         the record drawn
    processes      several of them, as one run
    interruption   SIGTERM and Ctrl-C
"""
