"""People's picture files, and pictures of pictures. Imports no other room.

Read in this order, from the entry down:
    files     found, opened with all they hold, saved whole or not at all
    picture   what is in them: upright pixels, and what travels with them
    codec     the bytes of PNG, JPEG, BMP and WebP
    tiff      the bytes of TIFF
    panels    pictures side by side, captioned
    colours   numbers as colours
"""
