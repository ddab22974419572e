"""The Non-Local Recurrent Network itself: pure functions and Flax modules. Imports no other room.

Read in this order, from the entry down:
    model         NLRN, its recurrent cell and its norms
    dncnn         DnCNN, to compare with
    build         which of the two a configuration describes
    block         the non-local block, for any network, and how positions are compared
    correlation   how the correlation is carried from state to state
    non_local     the non-local operation: every position looks at its neighborhood
    whole         ... where the neighborhood is the whole input
    windowed      ... where it is a window, tile by tile
    grid          ... the tiles, and the walk over them
    response      ... one tile of queries against the keys that it sees
    weighing      ... and how much each of these counts
    layers        convolutions with bias, batch norm
    convolution   the 3x3 convolution, fast in a loop
    mesh          the devices, and what each of them holds
    forward_mode  forward derivatives, for who needs them
"""
