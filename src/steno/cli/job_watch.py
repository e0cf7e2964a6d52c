"""Waits for stored jobs, with a progress bar for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import click

from steno.cli.job_lines import note_of, outcome_of
from steno.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from steno.cli.progress import RecordingProgress, RunProgress
from steno.client import AsyncClient, JobOutput, JobStatus
from steno.errors import StenoError

AT_ONCE = 50
"""Max event streams, each of which is a connection."""


class JobWatcher:
    """Shows jobs until they have ended."""

    def __init__(self, client: AsyncClient, progress: RunProgress) -> None:
        self._client = client
        self._progress = progress
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def watch(
        self, job_id: str, label: str | None = None, deliver: Callable[[JobOutput], None] | None = None
    ) -> None:
        """Wait for a job and report its end. A failure is counted, not raised.

        Args:
            label: None = the name of its recording.
            deliver: gets the result if the job succeeds; None = it stays at the server.
        """
        try:
            async with self._turns:
                name = label or f"{(await self._client.job(job_id)).source} ({job_id})"
                with self._progress.of(name) as bar:
                    job = await self._client.wait_for_job(job_id, lambda now: _show(bar, now))
            if job.state != "succeeded":
                self._progress.failed(name, outcome_of(job))
                return
            if deliver is not None:
                deliver(await self._client.job_result(job_id))
            self._progress.report(f"{name}: {outcome_of(job)}")
        except StenoError as error:
            self._progress.failed(label or job_id, error.message)
        except OSError as error:
            self._progress.failed(label or job_id, error.strerror or str(error))


def watch_all(url: str, api_key: str | None, job_ids: Sequence[str], *, quiet: bool) -> int:
    """Watch jobs; returns the exit code."""

    async def run(progress: RunProgress) -> None:
        async with AsyncClient(url, api_key) as client, asyncio.TaskGroup() as group:
            watcher = JobWatcher(client, progress)
            for job_id in job_ids:
                group.create_task(watcher.watch(job_id), name=f"watch {job_id}")

    try:
        with RunProgress(quiet=quiet, estimates=False) as progress:
            asyncio.run(run(progress))
    except KeyboardInterrupt:
        say_that_they_go_on(job_ids)
        return EXIT_INTERRUPTED
    return EXIT_FAILED if progress.failures else 0


def say_that_they_go_on(job_ids: Sequence[str]) -> None:
    """What Ctrl-C does to jobs: nothing."""
    what = "the job goes on" if len(job_ids) == 1 else "the jobs go on"
    click.echo(f"steno: stopped watching; {what}. Again: steno jobs watch {' '.join(job_ids)}", err=True)


def _show(bar: RecordingProgress, job: JobStatus) -> None:
    bar.part(job.progress if job.state != "queued" else 0.0, note_of(job))
