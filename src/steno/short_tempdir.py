"""A folder for temporary files in which Unix sockets fit: their paths have 107 bytes at most, 103 on macOS."""

from __future__ import annotations

import os
import tempfile

MAX_BYTES = 70
"""Leaves 33 bytes for a folder of `tempfile`, such as `/steno-abcdefgh`, and the socket's name."""


def short_tempdir() -> str:
    """The system's folder for temporary files (`TMPDIR`); `/tmp` if its path is too long. For `tempfile`'s `dir`."""
    chosen = tempfile.gettempdir()
    return chosen if len(os.fsencode(chosen)) <= MAX_BYTES else "/tmp"
