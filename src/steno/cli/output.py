"""Where results go: the terminal, a file, or a folder. Files appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click


class Output:
    """Writes the result of each input.

    Args:
        path: one file for the one input; or
        folder: a file for each input, named after it with `extension`; both None = the terminal.
        several: whether results on the terminal need the name of their input.
    """

    def __init__(self, path: Path | None, folder: Path | None, extension: str, *, several: bool) -> None:
        self._path = path
        self._folder = folder
        self._extension = extension
        self._several = several

    def write(self, source: Path, text: str) -> None:
        """Raises OSError where the target cannot be written."""
        if self._path is not None:
            write_whole(self._path, text + "\n")
        elif self._folder is not None:
            write_whole(self._folder / (source.stem + self._extension), text + "\n")
        elif self._several:
            click.echo(f"{source}:\n{text}\n")
        else:
            click.echo(text)


def write_whole(path: Path, text: str) -> None:
    """Write beside the target and move into place, so that nobody ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
