"""The two errors of the program: what a user can mend, and a run that diverged."""


class UserError(ValueError):
    """Something that a user can mend; the message names the place, the fault and the mend.

    The command line shows it as one line. Anything else is our mistake and keeps its traceback.
    """


class NotFiniteError(ArithmeticError):
    """The loss or a gradient became infinite or NaN; the last good checkpoint is kept."""
