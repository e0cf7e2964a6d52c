"""Input arguments: files, patterns, standard input."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

import click

STDIN = "-"
MEDIA = frozenset([
    ".aac", ".ac3", ".aif", ".aiff", ".amr", ".asf", ".au", ".avi", ".caf", ".flac", ".flv",
    ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg",
    ".mts", ".oga", ".ogg", ".ogv", ".opus", ".ts", ".wav", ".weba", ".webm", ".wma", ".wmv",
])  # fmt: skip
"""Extensions of the files of a folder that are recordings."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to transcribe, and the name of its results."""

    path: Path
    label: str
    """The argument as the user wrote it."""
    name: str
    """Name of its results, without an extension."""

    def digest(self) -> str:
        """SHA-256 of its content."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def recordings_of(arguments: Sequence[str]) -> Iterator[list[Recording]]:
    """Resolve arguments to recordings: expand patterns; copy standard input (`-`) to a temporary file.

    Raises:
        click.UsageError: a pattern matches nothing, `-` occurs twice, or two files have results of the same name.
    """
    with tempfile.TemporaryDirectory(prefix="steno-") as folder:
        paths: list[tuple[Path, str]] = []
        for argument in arguments:
            if argument == STDIN:
                paths.append((_keep_stdin(Path(folder)), "stdin"))
            else:
                paths += [(_regular(Path(match), Path(folder)), match) for match in expand(argument)]
        yield [Recording(path, label, name) for (path, label), name in zip(paths, _names(paths), strict=True)]


def in_folders(arguments: Sequence[str]) -> list[str]:
    """The arguments, with the recordings in it in place of each folder.

    Raises:
        click.UsageError: a folder has none.
    """
    found: list[str] = []
    for argument in arguments:
        if not Path(argument).is_dir():
            found.append(argument)
            continue
        recordings = sorted(str(path) for path in Path(argument).iterdir() if path.suffix.lower() in MEDIA)
        if not recordings:
            raise click.UsageError(f"no recording in the folder {argument}")
        found += recordings
    return found


def expand(argument: str) -> list[str]:
    """The files that match a pattern; an argument that is none is returned. Raises UsageError: there are none."""
    if not has_magic(argument) or Path(argument).exists():
        return [argument]
    matches = sorted(match for match in glob(argument, recursive=True) if Path(match).is_file())
    if not matches:
        raise click.UsageError(f"no file matches {argument!r}")
    return matches


def _regular(path: Path, folder: Path) -> Path:
    """The path, or a copy of a pipe's content, because recordings are read more than once."""
    if path.is_fifo():
        kept = folder / f"{len(list(folder.iterdir()))}-{path.name}"
        with path.open("rb") as pipe, kept.open("wb") as file:
            shutil.copyfileobj(pipe, file)
        return kept
    if path.exists() and not path.is_file():
        raise click.UsageError(f"{path} is not a file")
    return path


def _keep_stdin(folder: Path) -> Path:
    kept = folder / "stdin"
    if kept.exists():
        raise click.UsageError("standard input (-) may occur only once")
    with kept.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return kept


def _names(paths: Sequence[tuple[Path, str]]) -> list[str]:
    """`talk` for `talk.mp4`; `talk.mp4` and `talk.mp3` if both are given."""
    stems = ["stdin" if label == "stdin" else path.stem for path, label in paths]
    names = [stem if stems.count(stem) == 1 else path.name for (path, _), stem in zip(paths, stems, strict=True)]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise click.UsageError(f"several files are called {doubled[0]}: their results would overwrite each other")
    return names
