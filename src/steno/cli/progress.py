"""Progress on stderr: a bar where somebody watches, one line a file where nobody does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class Progress:
    """Use it as a context manager."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Progress:
        if self._enabled and sys.stderr.isatty():
            self._bar = _make_bar()
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, file: Path, total_s: float | None) -> None:
        """`total_s`: the recording's length, if its header tells."""
        self._start(file.name, total_s)

    def advance(self, done_s: float, elapsed_s: float) -> None:
        """So much of the recording is done, after so long."""
        if self._bar is not None and self._task is not None:
            speed = f"{done_s / elapsed_s:.1f}× real time" if elapsed_s > 0 else ""
            self._bar.update(self._task, completed=done_s, speed=speed)

    def begin_upload(self, file: Path, size: int) -> None:
        self._start(f"{file.name} (uploading)", size)

    def sent(self, size: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=size)

    def done(self, file: Path, audio_s: float, elapsed_s: float) -> None:
        self._finish()
        if self._enabled:
            factor = f", real-time factor {elapsed_s / audio_s:.2f}" if audio_s else ""
            self._say(f"{file}: {audio_s:.1f} s of audio in {elapsed_s:.1f} s{factor}")

    def failed(self, file: Path, message: str) -> None:
        """Shown even where progress is off."""
        self._finish()
        self._say(f"steno: {file}: {message}")

    def _start(self, name: str, total: float | None) -> None:
        if self._bar is not None:
            self._task = self._bar.add_task(name, total=total, speed="")

    def _finish(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            click.echo(line, err=True)


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
