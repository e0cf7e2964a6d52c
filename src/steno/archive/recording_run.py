"""Brings one recording up to date: runs the stages whose inputs, options or models have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from loguru import logger

from steno import __version__
from steno.archive.archive_folder import ArchiveFolder
from steno.archive.file_checksum import record_of
from steno.archive.manifest import RecordingManifest, StageName, StageResult
from steno.archive.raw_files import RawFiles
from steno.archive.stages.registry import ALL_STAGES
from steno.archive.stages.stage import Stage, StageJob, StageOutcome, StagePlan, StageTools
from steno.errors import StenoError

SHARES: dict[StageName, float] = {
    "probe": 0.01, "audio": 0.08, "pieces": 0.06, "transcript": 0.65, "words": 0.13, "chat": 0.01, "aligned": 0.01,
    "speakers": 0.05,
}  # fmt: skip
"""Of a recording's time, for progress bars."""

Report = Callable[[float, str], None]
"""Gets the share of a recording that is done, and the stage that is running. May be called in other threads."""


@dataclass(slots=True)
class RunOutcome:
    """What was done for a recording."""

    computed: list[StageName] = field(default_factory=list)
    reused: list[StageName] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    duration_s: float = 0.0


class RecordingRun:
    """Runs stages.

    Args:
        only: run this stage alone; the earlier ones must have been run.
    """

    def __init__(self, archive: ArchiveFolder, tools: StageTools, raw: RawFiles, only: StageName | None = None) -> None:
        self._archive = archive
        self._tools = tools
        self._raw = raw
        self._stages = [stage for stage in ALL_STAGES if only in (None, stage.name)]

    async def run(self, recording: str, report: Report = lambda _share, _stage: None) -> RunOutcome:
        """Raises StenoError, OSError: a stage failed; the results of those before it are kept."""
        outcome = RunOutcome()
        await asyncio.to_thread(self._archive.clean, recording)
        manifest = await self._raw.refresh(recording)
        total = sum(SHARES[stage.name] for stage in self._stages)
        done = 0.0
        for stage in self._stages:
            report(done / total, stage.name)
            plan = stage.plan(manifest, self._tools)
            if plan is not None:
                manifest = await self._one(stage, plan, manifest, outcome, _scaled(report, stage.name, done, total))
            elif stage.name in manifest.current:
                manifest = await asyncio.to_thread(self._retire, stage.name, recording)
            done += SHARES[stage.name]
        report(1.0, "")
        outcome.duration_s = manifest.duration_s or 0.0
        audio = manifest.result("audio")
        outcome.warnings = audio.warnings if audio is not None and "audio" in outcome.computed else ()
        return outcome

    async def _one(
        self,
        stage: Stage,
        plan: StagePlan,
        manifest: RecordingManifest,
        outcome: RunOutcome,
        report: Callable[[float], None],
    ) -> RecordingManifest:
        made = manifest.made(stage.name, plan.key)
        if made is not None and self._is_there(manifest.id, made):
            outcome.reused.append(stage.name)
            if manifest.current.get(stage.name) == plan.key:
                return manifest
            return await asyncio.to_thread(self._record, stage, manifest.id, made)
        job = StageJob(self._archive, manifest, plan, self._tools, report)
        result = await self._left_behind(plan, job)
        if result is None:
            finished = await stage.run(job)
            seconds = {**job.times.seconds, "total": job.times.total_s}
            job.log.add_stage(stage.name, plan.key, finished.described(), seconds)
            result = await asyncio.to_thread(_result_of, plan, finished)
        outcome.computed.append(stage.name)
        manifest = await asyncio.to_thread(self._record, stage, manifest.id, result)
        job.journal_path().unlink(missing_ok=True)
        return manifest

    async def _left_behind(self, plan: StagePlan, job: StageJob) -> StageResult | None:
        """What a run has made that was killed before it could record it."""
        known = job.log.finished(plan.stage, plan.key)
        if known is None or job.manifest.made(plan.stage, plan.key) is not None:
            return None
        paths = [self._archive.folder_of(job.manifest.id) / name for name in known.files]
        if not all(path.is_file() for path in paths):
            return None
        return await asyncio.to_thread(_result_of, plan, StageOutcome(paths, known.statistics, known.warnings))

    def _is_there(self, recording: str, result: StageResult) -> bool:
        paths = [(self._archive.path_of(recording, file), file.bytes) for file in result.files]
        return all(path.is_file() and path.stat().st_size == size for path, size in paths)

    def _retire(self, stage: StageName, recording: str) -> RecordingManifest:
        """The stage's result is no longer in use; it is kept."""

        def change(now: RecordingManifest) -> RecordingManifest:
            return now.model_copy(update={"current": {each: key for each, key in now.current.items() if each != stage}})

        return self._archive.update(recording, change)

    def _record(self, stage: Stage, recording: str, result: StageResult) -> RecordingManifest:
        files = [self._archive.path_of(recording, file) for file in result.files]

        def change(now: RecordingManifest) -> RecordingManifest:
            facts = stage.facts(files, now)
            results = now.results if result in now.results else (*now.results, result)
            current = {**now.current, stage.name: result.key}
            return now.model_copy(update={**facts, "results": results, "current": current})

        return self._archive.update(recording, change)


def problem_of(error: Exception) -> str:
    """What to tell of a recording that failed. An unexpected error is logged."""
    if isinstance(error, StenoError):
        return error.message
    if isinstance(error, OSError):
        return f"{error.filename or ''}: {error.strerror or error}".removeprefix(": ")
    logger.opt(exception=error).error("unexpected error")
    return f"unexpected error: {type(error).__name__}"


def _result_of(plan: StagePlan, outcome: StageOutcome) -> StageResult:
    return StageResult(
        stage=plan.stage,
        key=plan.key,
        stage_version=plan.version,
        inputs=plan.inputs,
        options=plan.options,
        model=plan.model,
        files=tuple(record_of(path, path.name) for path in outcome.files),
        statistics=dict(outcome.statistics),
        warnings=tuple(outcome.warnings),
        steno=__version__,
    )


def _scaled(report: Report, stage: StageName, done: float, total: float) -> Callable[[float], None]:
    return lambda part: report((done + SHARES[stage] * part) / total, stage)
