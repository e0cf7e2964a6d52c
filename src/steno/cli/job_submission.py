"""Submits recordings as stored jobs."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import click

from steno.cli.inputs import Recording
from steno.cli.job_lines import outcome_of
from steno.cli.job_watch import JobWatcher
from steno.cli.options import EXTENSION
from steno.cli.progress import RecordingProgress, RunProgress
from steno.client import AsyncClient, JobOutput, JobStatus
from steno.errors import StenoError
from steno.whole_file import write_whole

EXTENSIONS = {"application/json": ".json", "text/plain": ".txt"}
"""Of results that the server does not call files."""


@dataclass(frozen=True, slots=True)
class JobSource:
    """A recording to submit: a file, or a URL."""

    label: str
    name: str
    """Name of its result, without an extension."""
    recording: Recording | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What is wanted of each recording.

    Args:
        options: form fields of the kind's own route.
        is_new: store the job even if the same one was stored before.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    callback_url: str | None = None
    is_new: bool = False

    def key_for(self, source: JobSource) -> str | None:
        """The idempotency key: a digest of the recording and of all that is wanted; None for a new job."""
        if self.is_new:
            return None
        content = source.recording.digest() if source.recording is not None else source.url
        parts = [content, self.kind, sorted(self.options.items()), self.callback_url]
        return f"steno-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]}"


class JobSubmission:
    """Submits recordings one after the other.

    Args:
        job_ids: gets the ids of the jobs that are stored.
    """

    def __init__(self, client: AsyncClient, order: JobOrder, progress: RunProgress, job_ids: list[str]) -> None:
        self._client = client
        self._order = order
        self._progress = progress
        self._job_ids = job_ids

    async def submit(self, source: JobSource) -> JobStatus | None:
        """Store a job; None if it is refused, or has failed before. That is counted, not raised."""
        try:
            with self._progress.of(source.label) as bar:
                job = await self._send(source, bar)
        except StenoError as error:
            self._progress.failed(source.label, error.message)
            return None
        except OSError as error:
            self._progress.failed(source.label, error.strerror or str(error))
            return None
        self._job_ids.append(job.id)
        if job.state in ("failed", "cancelled"):
            text = f"was submitted before, as {job.id} ({outcome_of(job)}); --new submits it again"
            self._progress.failed(source.label, text)
            return None
        return job

    async def _send(self, source: JobSource, bar: RecordingProgress) -> JobStatus:
        key = await asyncio.to_thread(self._order.key_for, source)
        path = source.recording.path if source.recording is not None else None
        size = max(path.stat().st_size, 1) if path is not None else 1
        return await self._client.submit_job(
            path or source.url,
            self._order.kind,
            callback_url=self._order.callback_url,
            idempotency_key=key,
            on_sent=lambda sent: bar.sent(sent / size),
            **self._order.options,
        )


@dataclass(frozen=True, slots=True)
class JobDelivery:
    """Where results go: to a file, into a folder, or to stdout. In a folder, those of `form` are called as `steno
    transcribe` calls them."""

    output: Path | None = None
    folder: Path | None = None
    form: str | None = None
    headings: bool = False
    """Print each result's name above it."""

    def write(self, source: JobSource, result: JobOutput) -> None:
        """Raises OSError."""
        name = f"{source.name}{EXTENSION.get(self.form or '') or extension_of(result)}"
        if self.output is not None:
            write_whole(self.output, result.content)
        elif self.folder is not None:
            write_whole(self.folder / name, result.content)
        else:
            heading, end = (f"==> {name} <==\n", "\n") if self.headings else ("", "")
            click.echo(f"{heading}{result.text}{end}", nl=False)


async def submit_all(submission: JobSubmission, sources: Sequence[JobSource], progress: RunProgress) -> None:
    """Submit all sources. The ids of their jobs go to stdout."""
    for source in sources:
        job = await submission.submit(source)
        if job is not None:
            click.echo(job.id)
            progress.report(f"{source.label}: {job.id}, {job.state}")


async def submit_and_watch(
    submission: JobSubmission, sources: Sequence[JobSource], watcher: JobWatcher, delivery: JobDelivery
) -> None:
    """Submit all sources; meanwhile watch the jobs, and write their results."""
    async with asyncio.TaskGroup() as group:
        for source in sources:
            job = await submission.submit(source)
            if job is not None:
                deliver = partial(delivery.write, source)
                group.create_task(watcher.watch(job.id, source.label, deliver), name=f"watch {job.id}")


def extension_of(result: JobOutput) -> str:
    if result.file_name:
        return PurePosixPath(result.file_name).suffix
    return EXTENSIONS.get(result.media_type.partition(";")[0], "")


def source_at(url: str) -> JobSource:
    """The recording at a URL."""
    name = "recording"
    with suppress(ValueError):  # the server says what is wrong with the URL
        name = PurePosixPath(urlsplit(url).path).stem or name
    return JobSource(url, name, url=url)
