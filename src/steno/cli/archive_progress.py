"""Progress and summary of `steno archive run`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from steno.cli.progress import RecordingProgress, RunProgress

if TYPE_CHECKING:
    from steno.archive.archive_folder import ArchiveFolder
    from steno.archive.recording_run import RunOutcome

LABEL = "all recordings"


class ArchiveProgress:
    """A bar for all recordings, with the time left, and one for each that is worked on. Use it as a context manager."""

    def __init__(self, archive: ArchiveFolder, *, quiet: bool) -> None:
        self.recordings = archive.ids()
        self._bars = RunProgress(quiet=quiet)
        self._quiet = quiet
        self._began = time.monotonic()
        self._shares: dict[str, float] = {}
        self._shown = ExitStack()
        self._whole = RecordingProgress(None, None)
        self._outcomes: list[RunOutcome] = []
        self.failures: dict[str, str] = {}

    def __enter__(self) -> ArchiveProgress:
        self._shown.enter_context(self._bars)
        self._whole = self._shown.enter_context(self._bars.of(LABEL))
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.close()

    @contextmanager
    def of(self, recording: str) -> Iterator[Callable[[float, str], None]]:
        """Show one recording while the context is open. Yields what takes its share done, and its stage."""
        with self._bars.of(recording) as bar:

            def report(share: float, stage: str) -> None:
                bar.part(share, stage)
                self._move(recording, share)

            yield report

    def finished(self, recording: str, outcome: RunOutcome) -> None:
        self._outcomes.append(outcome)
        self._move(recording, 1.0)
        self._bars.damaged(recording, outcome.warnings)
        if outcome.computed:
            self._bars.report(f"{recording}: {', '.join(outcome.computed)}")

    def failed(self, recording: str, message: str) -> None:
        self.failures[recording] = message
        self._move(recording, 1.0)
        self._bars.report(f"{recording}: failed")

    def summary(self) -> None:
        """Print what was done, and the failures."""
        computed = Counter[str](stage for outcome in self._outcomes for stage in outcome.computed)
        reused = Counter[str](stage for outcome in self._outcomes for stage in outcome.reused)
        work = sum(outcome.duration_s for outcome in self._outcomes if outcome.computed)
        counts = f"{len(self._outcomes)} of {len(self.recordings)} recordings up to date"
        elapsed_s = time.monotonic() - self._began
        self._bars.report(f"{counts}; {work:.1f} s of audio in {elapsed_s:.1f} s")
        self._bars.report(f"computed: {_listed(computed)}; known: {_listed(reused)}")
        for recording, message in sorted(self.failures.items()):
            click.echo(f"steno: {recording}: {message}", err=True)

    def _move(self, recording: str, share: float) -> None:
        self._shares[recording] = share
        done = sum(share >= 1.0 for share in self._shares.values())
        self._whole.part(sum(self._shares.values()) / len(self.recordings), f"{done} of {len(self.recordings)}")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{stage} {count}" for stage, count in counts.items()) or "nothing"
