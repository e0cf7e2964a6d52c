"""Runs an archive's recordings on a Ray cluster, by Ray Data: `steno archive run --ray`.

Each actor has an engine of its own and works on one recording at a time. The archive's folder and the raw files are
read at the same paths on all nodes: a shared file system.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steno.archive.recording_run import RunOutcome, problem_of
from steno.errors import ArchiveError

if TYPE_CHECKING:
    from steno.archive.archive_folder import ArchiveOptions
    from steno.archive.manifest import StageName
    from steno.archive.recording_run import RecordingRun
    from steno.settings import Settings

LOCAL = "local"
"""As an address: a cluster on this machine."""


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Where an archive is run.

    Args:
        address: of the cluster; `local` = start one on this machine; `auto` = the one that this machine belongs to.
        actors: recordings at once.
        gpus: of each actor; may be a fraction.
    """

    address: str
    actors: int
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class RecordingReport:
    """What became of a recording. `problem` is its error's message."""

    recording: str
    outcome: RunOutcome = field(default_factory=RunOutcome)
    problem: str | None = None


class RecordingActor:
    """Works on recordings in a process of the cluster. Ray Data calls it with batches of one."""

    def __init__(self, folder: Path, config: Settings, options: ArchiveOptions, only: StageName | None) -> None:
        from steno import compose, logs
        from steno.archive.archive_folder import ArchiveFolder
        from steno.archive.raw_files import RawFiles
        from steno.archive.recording_run import RecordingRun

        logs.setup("WARNING" if config.log_level == "INFO" else config.log_level, config.log_json)
        self._loop = asyncio.new_event_loop()
        self._open = AsyncExitStack()  # until Ray ends the process; the decoders end with it

        async def opened() -> RecordingRun:
            tools = await self._open.enter_async_context(compose.archive_tools_of(config, options))
            archive = ArchiveFolder.open(folder)
            return RecordingRun(archive, tools, RawFiles(archive, compose.fetcher_of(config)), only)

        self._run = self._loop.run_until_complete(opened())

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        reports = [self._loop.run_until_complete(self._one(str(recording))) for recording in batch["recording"]]
        return {
            "recording": [report.recording for report in reports],
            "problem": [report.problem or "" for report in reports],
            "outcome": [json.dumps(asdict(report.outcome)) for report in reports],
        }

    async def _one(self, recording: str) -> RecordingReport:
        try:
            return RecordingReport(recording, await self._run.run(recording))
        except Exception as error:  # noqa: BLE001 - one recording never stops the others
            return RecordingReport(recording, problem=problem_of(error))


def run_on_cluster(
    folder: Path,
    recordings: Sequence[str],
    config: Settings,
    options: ArchiveOptions,
    only: StageName | None,
    cluster: ClusterOptions,
) -> Iterator[RecordingReport]:
    """Bring recordings up to date. Yields a report as each is done.

    Raises:
        ArchiveError: Ray is not installed, or there is no such cluster.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise ArchiveError("--ray needs Ray: pip install 'steno[ray]'") from None
    try:
        where = {"num_cpus": max(cluster.actors, os.cpu_count() or 1)} if cluster.address == LOCAL else {}
        ray.init(address=cluster.address, log_to_driver=False, **where)
    except (ConnectionError, ValueError) as error:
        raise ArchiveError(f"no Ray cluster at {cluster.address}: {error}") from None
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items([{"recording": each} for each in recordings]).map_batches(
            RecordingActor,
            fn_constructor_kwargs={"folder": folder, "config": config, "options": options, "only": only},
            batch_size=1,
            batch_format="numpy",
            num_cpus=1,
            num_gpus=cluster.gpus or None,
            compute=ray.data.ActorPoolStrategy(size=cluster.actors),
        )
        for row in rows.iter_rows():
            yield RecordingReport(row["recording"], _outcome_of(row["outcome"]), row["problem"] or None)
    finally:
        ray.shutdown()


def _outcome_of(text: str) -> RunOutcome:
    fields = json.loads(text)
    return RunOutcome(**{**fields, "warnings": tuple(fields["warnings"])})
