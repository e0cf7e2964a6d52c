"""Progress on stderr: bars where somebody watches, one line a file where nobody does, and a summary at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
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
        """The recording's length, if its header tells."""
        self._update(total=seconds)

    def done(self, seconds: float) -> None:
        """So much of the recording is recognised."""
        elapsed = time.monotonic() - self._began
        self.audio_s = seconds
        self._update(completed=seconds, note=f"{seconds / elapsed:.1f}× real time" if elapsed > 0 else "")

    def sent(self, part: float) -> None:
        """So much of the upload, in [0, 1], is with the server."""
        self._update(total=1, completed=part, note="uploading" if part < 1 else "at the server")

    def part(self, part: float, note: str) -> None:
        """So much of something else, in [0, 1], is done."""
        self._update(total=1, completed=part, note=note)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def _update(self, **fields: object) -> None:
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, **fields)  # type: ignore[arg-type]


class RunProgress:
    """Of a whole run. Use it as a context manager.

    Args:
        quiet: no progress and no summary; failures are told all the same.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bars: Bars | None = None
        self._began = time.monotonic()
        self._finished = self._skipped = self.failures = 0
        self._audio_s = 0.0

    def __enter__(self) -> RunProgress:
        if not self._quiet and sys.stderr.isatty():
            self._bars = _make_bars()
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    @contextmanager
    def of(self, name: str) -> Iterator[RecordingProgress]:
        """Show one recording while it is worked on."""
        task = self._bars.add_task(name, total=None, note="") if self._bars is not None else None
        try:
            yield RecordingProgress(self._bars, task)
        finally:
            if self._bars is not None and task is not None:
                self._bars.refresh()  # else what came since the last tick, which may be all of it, is never seen
                self._bars.remove_task(task)

    def finished(self, name: str, shown: RecordingProgress) -> None:
        self._finished += 1
        self._audio_s += shown.audio_s
        self._tell(f"{name}: {_speed(shown.audio_s, shown.elapsed_s)}")

    def skipped(self, name: str) -> None:
        self._skipped += 1
        self._tell(f"{name}: done before, skipped")

    def failed(self, name: str, message: str) -> None:
        self.failures += 1
        self._say(f"steno: {name}: {message}")

    def summary(self) -> None:
        """For more than one recording: what came of them."""
        if self._finished + self._skipped + self.failures > 1:
            counts = [f"{self._finished} transcribed"]
            counts += [f"{self._skipped} skipped"] if self._skipped else []
            counts += [f"{self.failures} failed"] if self.failures else []
            self._tell(f"{', '.join(counts)}; {_speed(self._audio_s, time.monotonic() - self._began)}")

    def _tell(self, line: str) -> None:
        if not self._quiet:
            self._say(line)

    def _say(self, line: str) -> None:
        if self._bars is not None:
            self._bars.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            click.echo(line, err=True)


def _speed(audio_s: float, elapsed_s: float) -> str:
    factor = f", real-time factor {elapsed_s / audio_s:.2f}" if audio_s else ""
    return f"{audio_s:.1f} s of audio in {elapsed_s:.1f} s{factor}"


def _make_bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
