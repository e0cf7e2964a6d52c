"""How a process ended, in words."""

from __future__ import annotations

import signal


def how_it_ended(code: int) -> str:
    """For the end of a sentence: "by SIGKILL", "by signal 40" (one without a name), "with exit code 3".

    Args:
        code: exit code of a child process; a negative one is the signal that ended it.
    """
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:  # most real-time signals have no name
        return f"by signal {-code}"
