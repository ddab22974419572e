"""A clock that a test moves by hand."""


class Clock:
    """Gives the seconds that it is set to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now
