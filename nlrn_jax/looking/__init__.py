"""Results to look at. May import every room but `planning`.

Read in this order, from the entry down:
    compare   several runs side by side
    study     runs that differ in what is studied
    report    an evaluation as one page; `page/` holds its HTML, style and script
    explain   what the network looks at from one position
    subject   ... of which picture
    insight   ... how that is known
    overlay   ... drawn
"""
