"""What the network learns from. May import `pictures`.

Read in this order:
    sources   where images come from: a string names them
    pixels    what is done with their pixels
    degrade   noise, and MATLAB's bicubic
    camera    what a camera does: noise that grows with the light, 8 bits, JPEG
    batches   patches of them, turned and degraded, batch by batch
"""
