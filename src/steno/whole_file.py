"""Writes files that are whole or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, content: str | bytes, *, lasting: bool = False) -> None:
    """Write a temporary file and move it into place, so that no reader sees an incomplete file. Text becomes UTF-8.

    Links are followed. A target that is not a regular file (a pipe, a device) is written directly.

    Args:
        lasting: return only once the file would survive a power failure.
    """
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    with new_file(path.resolve(), lasting=lasting) as file:
        file.write(data)


@contextmanager
def new_file(path: Path, *, lasting: bool = False) -> Iterator[BinaryIO]:
    """A temporary file beside `path`, moved there at the end of the context, and deleted if that raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if lasting:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder lasting, where the system can."""
    with suppress(OSError):  # Windows cannot open folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
