"""Progress and summary of `steno archive run`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steno.cli.progress import RecordingProgress, RunProgress
from steno.errors import StenoError

if TYPE_CHECKING:
    from steno.archive.archive_folder import ArchiveFolder
    from steno.archive.recording_run import RunOutcome

LABEL = "all recordings"
UNKNOWN_BYTES = 50_000_000
"""Assumed of recordings that were not fetched yet."""


class ArchiveProgress:
    """A bar for all recordings, with the time left, and one for each that is worked on. Use it as a context manager."""

    def __init__(self, archive: ArchiveFolder, *, quiet: bool) -> None:
        self.recordings = archive.ids()
        self._bars = RunProgress(quiet=quiet)
        self._quiet = quiet
        self._began = time.monotonic()
        self._weights = {recording: _weight_of(archive, recording) for recording in self.recordings}
        self._total = sum(self._weights.values()) or 1.0
        self._shares: dict[str, float] = {}
        self._done = 0.0
        self._ended = 0
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
        self._ended += 1
        self._move(recording, 1.0)
        self._bars.damaged(recording, outcome.warnings)
        if outcome.computed:
            self._bars.report(f"{recording}: {', '.join(outcome.computed)}")

    def failed(self, recording: str, message: str) -> None:
        self.failures[recording] = message
        self._ended += 1
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
        self._done += self._weights[recording] * (share - self._shares.get(recording, 0.0))
        self._shares[recording] = share
        self._whole.part(self._done / self._total, f"{self._ended} of {len(self.recordings)}")


def _weight_of(archive: ArchiveFolder, recording: str) -> float:
    """The size of a recording, as far as it is known: time is left for bytes, not for files."""
    try:
        manifest = archive.manifest(recording)
        return float(manifest.raw.bytes if manifest.raw is not None else Path(manifest.source).stat().st_size)
    except (StenoError, OSError):  # an invalid manifest, a URL
        return float(UNKNOWN_BYTES)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{stage} {count}" for stage, count in counts.items()) or "nothing"
