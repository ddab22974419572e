"""The two errors of the program: what a user can mend, and a run that diverged.

And those of the system, said in a line.
"""

import errno


class UserError(ValueError):
    """Something that a user can mend; the message names the place, the fault and the mend.

    The command line shows it as one line. Anything else is our mistake and keeps its traceback.
    """


class NotFiniteError(ArithmeticError):
    """The loss or a gradient became infinite or NaN; the last good checkpoint is kept."""


def of_system(error: OSError) -> str:
    """Say what the system refused, where, and what to do."""
    if not error.strerror:
        return str(error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    mend = "make room, and repeat the command" if full else "check the place and its permissions"
    return f"{error.filename or 'a file'}: {error.strerror}; {mend}"
