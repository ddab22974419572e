"""Results to look at. May import every room but `planning`.

Read in this order, from the entry down:
    compare   several runs side by side
    study     runs that differ in what is studied
    report    an evaluation as one page
    cost      what its methods reach beside what they take
    pairs     pictures before and after they were restored, as one page
    album     ... what a page is made of, with the HTML, style and scripts in `page/`
    explain   what the network looks at from one position
    subject   ... of which picture
    insight   ... how that is known
    overlay   ... drawn
"""
