"""Writes results to the terminal, a file, or a folder. Files are written atomically, and not made twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import click

from steno.whole_file import write_whole

RECORD = ".steno.json"
"""File in an output folder that records what each result was made from, so that a second run skips finished ones."""


class Sink(Protocol):
    """Takes results."""

    @property
    def remembers(self) -> bool:
        """Whether `made_from` is used. Computing it requires reading the whole recording."""

    def has(self, name: str, extension: str, made_from: str) -> bool:
        """Whether this result exists and was made from the same content with the same options."""

    def write(self, name: str, extension: str, made_from: str, text: str) -> None:
        """Write a result. Raises OSError if the target cannot be written."""


class TerminalSink:
    """Prints results.

    Args:
        headings: print each result's name above it.
    """

    remembers = False

    def __init__(self, *, headings: bool) -> None:
        self._headings = headings

    def has(self, name: str, extension: str, made_from: str) -> bool:
        return False

    def write(self, name: str, extension: str, made_from: str, text: str) -> None:
        if self._headings:
            click.echo(f"==> {name}{extension} <==")
        click.echo(text.rstrip("\n"))
        if self._headings:
            click.echo()


class FileSink:
    """Writes a single result to `path`."""

    remembers = False

    def __init__(self, path: Path) -> None:
        self._path = path

    def has(self, name: str, extension: str, made_from: str) -> bool:
        return False

    def write(self, name: str, extension: str, made_from: str, text: str) -> None:
        write_whole(self._path, text.rstrip("\n") + "\n")


class FolderSink:
    """Writes `NAME.EXTENSION` into `path`, and records what each was made from.

    Args:
        again: make all results, also those that exist.
    """

    remembers = True

    def __init__(self, path: Path, *, again: bool = False) -> None:
        self._path = path
        self._again = again
        self._record = _read_record(path / RECORD)

    def has(self, name: str, extension: str, made_from: str) -> bool:
        file = name + extension
        return not self._again and self._record.get(file) == made_from and (self._path / file).exists()

    def write(self, name: str, extension: str, made_from: str, text: str) -> None:
        file = name + extension
        write_whole(self._path / file, text.rstrip("\n") + "\n")
        self._record[file] = made_from
        write_whole(self._path / RECORD, json.dumps(self._record, indent=1, sort_keys=True) + "\n")


def _read_record(path: Path) -> dict[str, str]:
    """Read the record. A missing or damaged one is empty, so that results are made again."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(made_from) for name, made_from in record.items()} if isinstance(record, dict) else {}
