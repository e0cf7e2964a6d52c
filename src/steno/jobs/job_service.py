"""Stored jobs, as the server starts and stops them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from steno.errors import InvalidRequestError, JobQuotaError, JobStorageError, UnknownJobError
from steno.jobs.job import StoredJob
from steno.jobs.job_handover import JobRunner, listening
from steno.jobs.job_store import PREFIX, JobStore
from steno.jobs.job_worker import DAY_S, JobWork

if TYPE_CHECKING:
    from steno.jobs.callbacks import CallbackSender
    from steno.outbound.post import Poster

CLEAN_S = 600.0


@dataclass(frozen=True, slots=True)
class JobLimits:
    """
    Args:
        per_owner: max queued and running jobs of an owner; 0 = unlimited.
        hours_per_day: max hours of audio of an owner within 24 hours; 0 = unlimited.
        keep_h: hours after its end at which a job is deleted.
    """

    per_owner: int = 100
    hours_per_day: float = 0.0
    keep_h: float = 72.0


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a client submits."""

    owner: str
    kind: str
    options: dict[str, Any]
    recording_name: str | None = None
    audio_url: str | None = None
    callback_url: str | None = None
    idempotency_key: str | None = None
    recording_digest: str | None = None
    """Of the recording, if there is an idempotency key."""


class JobService:
    """Use it as `async with`; leaving it queues running jobs again.

    Args:
        callbacks: None = this process sends none.
        poster: None = callbacks are not supported.
        cleans: whether it deletes jobs that ended long ago.
        inbox: where other fronts tell what they have stored; None = there are none.
    """

    def __init__(
        self,
        store: JobStore,
        runner: JobRunner,
        works: Mapping[str, JobWork],
        limits: JobLimits,
        callbacks: CallbackSender | None = None,
        poster: Poster | None = None,
        *,
        cleans: bool = True,
        inbox: Path | None = None,
    ) -> None:
        self._cleans = cleans
        self._inbox = inbox
        self._open = AsyncExitStack()
        self.store = store
        self.works = works
        """By kind."""
        self._runner = runner
        self._limits = limits
        self._callbacks = callbacks
        self._poster = poster
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> JobService:
        """Raises JobStorageError."""
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(self.store)
            if self._inbox is not None:
                opened.enter_context(listening(self._inbox, self._runner))
            self._open = opened.pop_all()
        runs = [("jobs", self._runner.run())]
        if self._cleans:
            runs.append(("job cleaning", self._clean()))
        if self._callbacks is not None:
            runs.append(("job callbacks", self._callbacks.run()))
        self._tasks = [asyncio.create_task(run, name=name) for name, run in runs]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._poster is not None:
            await self._poster.aclose()
        await self._open.aclose()

    async def submit(self, new: NewJob, save: Callable[[Path], Awaitable[object]] | None) -> StoredJob:
        """Store a job.

        Args:
            save: writes the recording to a path; None if it is at `audio_url`.

        Returns:
            The job; or the known one of the same idempotency key.

        Raises:
            JobQuotaError, IdempotencyConflictError, UrlRefusedError, InvalidRequestError, JobStorageError.
        """
        self._check_callback(new.callback_url)
        known = new.idempotency_key and await self.store.with_idempotency_key(new.owner, new.idempotency_key)
        if not known:
            await self._check_quota(new.owner)
        job = StoredJob(
            id=PREFIX + secrets.token_hex(12),
            owner=new.owner,
            kind=new.kind,
            options=new.options,
            recording_name=new.recording_name,
            audio_url=new.audio_url,
            created=round(time.time(), 3),
            idempotency_key=new.idempotency_key,
            recording_digest=new.recording_digest,
            callback_url=new.callback_url,
        )
        await self.store.new_folder(job.id)
        stored = None
        try:
            if save is not None and not known:
                await self._save(job, save)
            stored = await self.store.add(job)
        finally:
            if stored is None or stored.id != job.id:
                await self.store.drop_folder(job.id)
        self._runner.wake()
        return stored

    async def get(self, job: str, owner: str) -> StoredJob:
        """Raises UnknownJobError: there is none, or it is another owner's."""
        found = await self.store.get(job, owner)
        if found is None:
            raise UnknownJobError(f"there is no job {job[:100]!r}", param="id")
        return found

    async def cancel(self, job: str, owner: str) -> StoredJob:
        """Cancel a job that has not ended; no-op for one that has. Returns what it is then."""
        await self.get(job, owner)
        await self._cancelled(job)
        return await self.get(job, owner)

    async def delete(self, job: str, owner: str) -> StoredJob:
        """Cancel a job that has not ended; delete one that has. Returns what it was."""
        found = await self.get(job, owner)
        if not await self._cancelled(job):
            await self.store.delete(job)
        return found

    async def _cancelled(self, job: str) -> bool:
        """Cancel a job; whole, even if the caller is cancelled. Returns whether it was queued or running still."""
        return await asyncio.shield(asyncio.ensure_future(self._cancel(job)))

    async def _cancel(self, job: str) -> bool:
        was_active = await self.store.cancel(job)
        if was_active:
            self._runner.stop(job)
        return was_active

    async def _save(self, job: StoredJob, save: Callable[[Path], Awaitable[object]]) -> None:
        try:
            await save(self.store.recording_of(job.id))
        except OSError as error:
            raise JobStorageError(f"the recording cannot be stored: {error.strerror or error}") from error

    def _check_callback(self, url: str | None) -> None:
        if url is None:
            return
        if self._poster is None:
            text = "callbacks are not supported by this server (CALLBACK_SECRET); poll the job, or read its events"
            raise InvalidRequestError(text, param="callback_url")
        self._poster.check(url)

    async def _check_quota(self, owner: str) -> None:
        active = await self.store.count_active(owner)
        if self._limits.per_owner and active >= self._limits.per_owner:
            raise JobQuotaError(f"{active} jobs are queued or running, which is the maximum; wait for one to end")
        used_h = await self.store.audio_s_since(owner, time.time() - DAY_S) / 3600
        if self._limits.hours_per_day and used_h >= self._limits.hours_per_day:
            text = f"{used_h:.2f} hours of audio were submitted in 24 hours; the maximum is"
            raise JobQuotaError(f"{text} {self._limits.hours_per_day:g}")

    async def _clean(self) -> None:
        """Delete jobs that ended long ago."""
        while True:
            try:
                for job in await self.store.finished_before(time.time() - self._limits.keep_h * 3600):
                    await self.store.delete(job)
            except JobStorageError as error:
                logger.error("{}", error.message)
            await asyncio.sleep(CLEAN_S)
