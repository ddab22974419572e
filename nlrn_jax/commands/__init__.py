"""The command line. May import every room.

Read in this order, from the entry down:
    modes       what each mode does; imports JAX
    restoring   ... to people's pictures
    exchanging  ... to networks as files
    menu        the modes, which flags each obeys, and --help
    options     the flags, and what they hold
    recipe      the file that --config names
    arguments   the words of a command line, read and written out
    allocator   pages of memory, asked for before all else
"""
