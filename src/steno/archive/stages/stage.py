"""A stage: what its result depends on, and how it is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from steno.archive.archive_folder import ArchiveFolder, ArchiveOptions
from steno.archive.manifest import ModelIdentity, RecordingManifest, StageName
from steno.archive.piece_recognizer import PieceRecognizer
from steno.archive.work_log import FinishedStage, WorkLog
from steno.errors import StageNotReadyError
from steno.pipelines.recording_reader import RecordingOpener
from steno.stage_times import StageTimes


@dataclass(frozen=True, slots=True)
class StagePlan:
    """All that a result depends on. Two plans with the same key give the same result."""

    stage: StageName
    version: int
    inputs: dict[str, str]
    """SHA-256 of the files that are read, by role."""
    options: dict[str, JsonValue] = field(default_factory=dict)
    model: ModelIdentity | None = None

    @property
    def key(self) -> str:
        model = self.model.model_dump() if self.model is not None else None
        parts = [self.stage, self.version, self.inputs, self.options, model]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class StageTools:
    """What stages compute with; shared by all recordings of a run."""

    opener: RecordingOpener
    recognizer: PieceRecognizer
    options: ArchiveOptions


@dataclass(frozen=True, slots=True)
class StageJob:
    """One run of a stage."""

    archive: ArchiveFolder
    manifest: RecordingManifest
    plan: StagePlan
    tools: StageTools
    report: Callable[[float], None]
    """Gets the share of the stage that is done, in [0, 1]. May be called in other threads."""
    times: StageTimes = field(default_factory=StageTimes)
    """Where the time of this run goes."""

    def new_path(self, extension: str) -> Path:
        """Where a result goes. Write it with `whole_file`."""
        return self.archive.folder_of(self.manifest.id) / f"{self.plan.stage}-{self.plan.key}{extension}"

    def journal_path(self) -> Path:
        return self.archive.work_of(self.manifest.id) / f"{self.plan.stage}-{self.plan.key}.journal"

    def result_of(self, stage: StageName) -> Path:
        """The file that an earlier stage has made."""
        path = self.archive.result_file(self.manifest, stage)
        if path is None:
            raise StageNotReadyError(f"{self.plan.stage} needs {stage}, which was not made yet")
        return path

    @property
    def log(self) -> WorkLog:
        return WorkLog(self.archive.work_of(self.manifest.id))


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What a stage has made."""

    files: Sequence[Path]
    """In the recording's folder; the first one is what later stages read."""
    statistics: dict[str, float] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    def described(self) -> FinishedStage:
        """As the log has it."""
        return FinishedStage(tuple(path.name for path in self.files), self.statistics, tuple(self.warnings))


class Stage(Protocol):
    """A stage has no state: all of it is in the archive."""

    @property
    def name(self) -> StageName: ...

    def plan(self, manifest: RecordingManifest, tools: StageTools) -> StagePlan | None:
        """What the stage would do now; None = it has nothing to do for this recording.

        Raises:
            StageNotReadyError: an earlier stage was not run.
            UnsupportedLanguageError: the recogniser does not support the language of the options.
        """

    async def run(self, job: StageJob) -> StageOutcome:
        """Raises StenoError, OSError. May be cancelled; then it leaves a journal at most."""

    def facts(self, files: Sequence[Path], manifest: RecordingManifest) -> dict[str, object]:
        """Fields of the manifest that say what is in the result. `manifest`: as it was before."""


def checksum_of(manifest: RecordingManifest, stage: StageName) -> str:
    """Of the (first) file of an earlier stage's result. Raises StageNotReadyError."""
    result = manifest.result(stage)
    if result is None:
        raise StageNotReadyError(f"the stage {stage} was not run yet; leave out --only")
    return result.files[0].sha256
