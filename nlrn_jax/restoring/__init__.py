"""A picture restored. May import `network`, `data` and `pictures`; does not know training.

Read in this order:
    restore   any picture with a network, each pixel once
    tiles     how it is cut to fit the memory
    patches   the published way: overlapping patches, averaged
    way       which of them, chosen once
    jobs      picture files, one or a folder of them
"""
