"""People's picture files, and pictures of pictures. Imports no other room.

Read in this order, from the entry down:
    finding   which files of a folder are pictures
    files     opened with all they hold, saved whole or not at all
    picture   what is in them: upright pixels, and what travels with them
    formats   by which names and first bytes they are known, what each can hold
    codec     PNG, JPEG, BMP and WebP
    png       chunks of PNG, and its bytes
    tiff      TIFF
    tags      what describes the picture of a TIFF
    exif      camera, date, copyright, in blocks as TIFF has them
    panels    pictures side by side, captioned
    colours   numbers as colours
"""
