"""A picture restored. May import `network`, `data` and `pictures`; does not know training.

Read in this order, from the entry down:
    jobs      picture files, one or a folder of them
    targets   which, and where each result goes
    forecast  how long a large one will take
    hidden    colours under full transparency
    way       in which way they are restored
    restore   each pixel once; the colours of a picture, and the network's
    tiles     ... cut to fit the memory
    places    ... and computed side by side, on cores or devices
    patches   the published way: overlapping patches, averaged
    memory    what a tile and a patch take
"""
