"""Trained networks as files that travel. May import `network` and `training`.

Read in this order:
    file      one file: the weights, and what they are; written and read
    shipped   the files that come with the program, by name
    stored    a network wherever it lies: a run, a file, a name
    telling   what a network is for and what it reaches, in words
    export    a run becomes such a file
    stablehlo a network becomes a program that JAX alone runs
    authors   a network of the authors' TensorFlow programs becomes one of ours
    bundle    ... read from their checkpoint without TensorFlow
    start     a run that begins with the weights of another network

`weights/` beside them holds the shipped files, and says how each was made.
"""
