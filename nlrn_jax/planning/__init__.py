"""What training would take on a machine, before it is rented. May import `training` and `network`.

Read in this order, from the entry down:
    plan       the plan, line by line
    machines   what can be planned for
    roofline   a compiled step, and how fast it could be
    flops      how much a program multiplies
    hlo        what it moves
"""
