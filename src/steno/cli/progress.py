"""Progress on stderr: bars in a terminal, otherwise one line per file; and a summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class RecordingProgress:
    """The progress of one recording. Methods may be called from other threads."""

    def __init__(self, bars: Bars | None, task: TaskID | None) -> None:
        self._bars = bars
        self._task = task
        self._began = time.monotonic()
        self.audio_s = 0.0

    def total(self, seconds: float | None) -> None:
        """Set the recording's length; None if its header does not contain it."""
        self._update(total=seconds)

    def done(self, seconds: float) -> None:
        """Set the seconds recognised."""
        elapsed = time.monotonic() - self._began
        self.audio_s = seconds
        self._update(completed=seconds, note=f"{seconds / elapsed:.1f}× real time" if elapsed > 0 else "")

    def sent(self, part: float) -> None:
        """Set the part of the upload, in [0, 1], that was sent."""
        self._update(total=1, completed=part, note="uploading" if part < 1 else "at the server")

    def part(self, part: float, note: str) -> None:
        """Set the part of other work, in [0, 1], that is done."""
        self._update(total=1, completed=part, note=note)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def _update(self, **fields: object) -> None:
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, **fields)  # type: ignore[arg-type]


class RunProgress:
    """The progress of a whole run. Use it as a context manager.

    Args:
        quiet: print no progress and no summary, but failures.
        estimates: show the time left, estimated from how fast the bar moves.
    """

    def __init__(self, *, quiet: bool = False, estimates: bool = True) -> None:
        self._quiet = quiet
        self._estimates = estimates
        self._bars: Bars | None = None
        self._began = time.monotonic()
        self._finished = self._skipped = self.failures = 0
        self._audio_s = 0.0

    def __enter__(self) -> RunProgress:
        if not self._quiet and sys.stderr.isatty():
            self._bars = _make_bars(self._estimates)
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    @contextmanager
    def of(self, name: str) -> Iterator[RecordingProgress]:
        """Show one recording while the context is open."""
        task = self._bars.add_task(name, total=None, note="") if self._bars is not None else None
        try:
            yield RecordingProgress(self._bars, task)
        finally:
            if self._bars is not None and task is not None:
                self._bars.refresh()  # shows updates since the last tick, which may be all of them
                self._bars.remove_task(task)

    def finished(self, name: str, recording: RecordingProgress) -> None:
        self._finished += 1
        self._audio_s += recording.audio_s
        self.report(f"{name}: {_speed(recording.audio_s, recording.elapsed_s)}")

    def damaged(self, name: str, warnings: Sequence[str]) -> None:
        """Report what of a recording could not be decoded."""
        for warning in warnings:
            click.echo(f"steno: {name}: {warning}", err=True)

    def skipped(self, name: str) -> None:
        self._skipped += 1
        self.report(f"{name}: done before, skipped")

    def failed(self, name: str, message: str) -> None:
        self.failures += 1
        self._print(f"steno: {name}: {message}")

    def summary(self) -> None:
        """Print the counts of results, for more than one recording."""
        if self._finished + self._skipped + self.failures > 1:
            counts = [f"{self._finished} transcribed"]
            counts += [f"{self._skipped} skipped"] if self._skipped else []
            counts += [f"{self.failures} failed"] if self.failures else []
            self.report(f"{', '.join(counts)}; {_speed(self._audio_s, time.monotonic() - self._began)}")

    def report(self, line: str) -> None:
        """Print a line, above the bars."""
        if not self._quiet:
            self._print(line)

    def _print(self, line: str) -> None:
        if self._bars is not None:
            self._bars.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            click.echo(line, err=True)


def _speed(audio_s: float, elapsed_s: float) -> str:
    factor = f", real-time factor {elapsed_s / audio_s:.2f}" if audio_s else ""
    return f"{audio_s:.1f} s of audio in {elapsed_s:.1f} s{factor}"


def _make_bars(estimates: bool) -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        *([TimeRemainingColumn()] if estimates else []),
        console=Console(stderr=True),
    )
