"""Jobs in SQLite, with their recordings and results in a folder beside it.

A job's folder is written before its row, and deleted after it: a crash leaves a folder without a row at most, which the
next start deletes.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from steno.errors import IdempotencyConflictError
from steno.jobs.job import CallbackState, JobFailure, JobResult, JobState, StoredJob
from steno.jobs.job_database import Database, Values, storage_errors
from steno.whole_file import write_whole

if TYPE_CHECKING:
    import sqlite3

RECORDING, RESULT = "recording", "result"
PREFIX = "job_"
"""Of ids."""


class JobStore:
    """Use it as `async with`.

    Args:
        database: path of the SQLite file.
        folder: for recordings and results. Nothing else may be in it.
        resumes: whether opening it queues again what was running; false in processes that run no jobs.
        min_orphan_s: age at which a folder without a job is deleted; 0 if no other process stores jobs.
    """

    def __init__(self, database: Path, folder: Path, *, resumes: bool = True, min_orphan_s: float = 0.0) -> None:
        self._resumes = resumes
        self._min_orphan_s = min_orphan_s
        self._database = Database(database)
        self._folder = folder

    def prepare(self) -> None:
        """Create the database and the folder, if they are new. Raises JobStorageError: they cannot be used."""
        with storage_errors():
            self._folder.mkdir(parents=True, exist_ok=True)
        self._database.prepare()

    async def __aenter__(self) -> JobStore:
        """Open the prepared store, and queue again what was running when it was last closed.

        Raises:
            JobStorageError: the database cannot be used.
        """
        await self._database.open()
        if not self._resumes:
            return self
        try:
            await self._database.write("UPDATE jobs SET state = 'queued', not_before = 0 WHERE state = 'running'")
            await self._delete_orphans()
        except BaseException:
            await self._database.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._database.close()

    def recording_of(self, job: str) -> Path:
        return self._folder / job / RECORDING

    def result_of(self, job: str) -> Path:
        return self._folder / job / RESULT

    async def new_folder(self, job: str) -> None:
        """Create the folder of a job that is about to be added."""
        with storage_errors():
            await asyncio.to_thread((self._folder / job).mkdir)

    async def drop_folder(self, job: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder / job, ignore_errors=True)

    async def add(self, job: StoredJob) -> StoredJob:
        """Store a job, whose folder exists. Of an owner's jobs, no two have the same `created`: it is a cursor.

        Returns:
            The job; or that of the same idempotency key, if there is one.

        Raises:
            IdempotencyConflictError: the job of the same key is another one.
            JobStorageError: it cannot be stored.
        """
        row = {
            "id": job.id,
            "owner": job.owner,
            "kind": job.kind,
            "options": json.dumps(job.options),
            "recording_name": job.recording_name,
            "audio_url": job.audio_url,
            "state": job.state,
            "created": job.created,
            "idempotency_key": job.idempotency_key,
            "recording_digest": job.recording_digest,
            "callback_url": job.callback_url,
        }
        last = "(SELECT MAX(created) FROM jobs WHERE owner = :owner)"
        unique = {"created": f"MAX(:created, COALESCE(ROUND({last} + 0.001, 3), 0))"}
        values = ", ".join(unique.get(name, f":{name}") for name in row)
        import sqlite3

        try:
            query = f"INSERT INTO jobs ({', '.join(row)}) VALUES ({values}) RETURNING created"
            added = await self._database.write(query, row)
        except sqlite3.IntegrityError:
            known = await self.with_idempotency_key(job.owner, job.idempotency_key or "")
            if known is None:
                raise
            if _request_of(known) != _request_of(job):
                text = f"the idempotency key was used for another job, {known.id}"
                raise IdempotencyConflictError(text, param="idempotency_key") from None
            return known
        return replace(job, created=added[0]["created"])

    async def with_idempotency_key(self, owner: str, key: str) -> StoredJob | None:
        return await self._one("SELECT * FROM jobs WHERE owner = ? AND idempotency_key = ?", (owner, key))

    async def get(self, job: str, owner: str | None = None) -> StoredJob | None:
        """The job; None if there is none, or it is not `owner`'s (None = anybody's)."""
        found = await self._one("SELECT * FROM jobs WHERE id = ?", (job,))
        return found if found is not None and owner in (None, found.owner) else None

    async def newest(self, owner: str, limit: int, before: float | None = None) -> Sequence[StoredJob]:
        """The owner's jobs, the newest first. `before`: those that were created earlier."""
        where, values = ("AND created < ?", (owner, before, limit)) if before is not None else ("", (owner, limit))
        return await self._all(f"SELECT * FROM jobs WHERE owner = ? {where} ORDER BY created DESC LIMIT ?", values)

    async def count_active(self, owner: str) -> int:
        """Jobs of the owner that are queued or running."""
        query = "SELECT COUNT(*) FROM jobs WHERE owner = ? AND state IN ('queued', 'running')"
        return int(await self._database.value(query, (owner,)))

    async def audio_s_since(self, owner: str, since: float, besides: str = "") -> float:
        """Seconds of audio in the owner's jobs that were created after `since`, as far as they are known."""
        query = "SELECT TOTAL(audio_s) FROM jobs WHERE owner = ? AND created > ? AND id != ?"
        return float(await self._database.value(query, (owner, since, besides)))

    async def states(self) -> dict[JobState, int]:
        """Number of jobs by state."""
        rows = await self._database.rows("SELECT state, COUNT(*) AS jobs FROM jobs GROUP BY state")
        return dict.fromkeys(JobState, 0) | {JobState(row["state"]): row["jobs"] for row in rows}

    async def claim(self) -> StoredJob | None:
        """The job to run next, marked as running: the oldest of the owner that has the fewest running. None = none."""
        query = """
            UPDATE jobs SET state = 'running', started = :now, attempts = attempts + 1, step = '', progress = 0
            WHERE id = (
                SELECT id FROM jobs AS waiting WHERE state = 'queued' AND not_before <= :now
                ORDER BY (SELECT COUNT(*) FROM jobs WHERE state = 'running' AND owner = waiting.owner), created LIMIT 1
            ) RETURNING *"""
        rows = await self._database.write(query, {"now": time.time()})
        return _job_of(rows[0]) if rows else None

    async def next_due(self) -> float | None:
        """When the next queued job may start, in Unix seconds; None = none is queued."""
        due = await self._database.value("SELECT MIN(not_before) FROM jobs WHERE state = 'queued'")
        return None if due is None else float(due)

    async def report(self, job: str, step: str, progress: float) -> None:
        await self._database.write("UPDATE jobs SET step = ?, progress = ? WHERE id = ?", (step, progress, job))

    async def set_audio_s(self, job: str, audio_s: float) -> None:
        await self._database.write("UPDATE jobs SET audio_s = ? WHERE id = ?", (audio_s, job))

    async def requeue(self, job: str, not_before: float = 0.0, *, counts: bool = True) -> None:
        """Queue a running job again. `counts`: whether it had an attempt."""
        query = """
            UPDATE jobs SET state = 'queued', not_before = ?, attempts = attempts - ?
            WHERE id = ? AND state = 'running'"""
        await self._database.write(query, (not_before, 0 if counts else 1, job))

    async def succeed(self, job: str, result: JobResult) -> bool:
        """Store the result. Returns whether the job was running still."""
        with storage_errors():
            await asyncio.to_thread(write_whole, self.result_of(job), result.body, lasting=True)
        described = json.dumps([result.media_type, result.headers, result.extension, result.timings])
        return await self._finish(job, JobState.SUCCEEDED, "result = :about, progress = 1", described)

    async def fail(self, job: str, failure: JobFailure) -> bool:
        """Returns whether the job was running still."""
        return await self._finish(job, JobState.FAILED, "failure = :about", json.dumps(asdict(failure)))

    async def cancel(self, job: str) -> bool:
        """Returns whether the job was queued or running still."""
        return await self._finish(job, JobState.CANCELLED, "failure = :about", None)

    async def result(self, job: str) -> JobResult | None:
        """The result of a job that succeeded; None if it is deleted."""
        row = next(iter(await self._database.rows("SELECT result FROM jobs WHERE id = ?", (job,))), None)
        if row is None or row["result"] is None:
            return None
        media_type, headers, extension, *timings = json.loads(row["result"])
        try:
            body = await asyncio.to_thread(self.result_of(job).read_bytes)
        except FileNotFoundError:
            return None
        return JobResult(body, media_type, headers, extension, *timings)

    async def delete(self, job: str) -> None:
        """Delete a job, with its recording and its result. No-op if there is none."""
        await self._database.write("DELETE FROM jobs WHERE id = ?", (job,))
        await self.drop_folder(job)

    async def finished_before(self, until: float) -> Sequence[str]:
        rows = await self._database.rows("SELECT id FROM jobs WHERE finished < ?", (until,))
        return [row["id"] for row in rows]

    async def piece(self, job: str, key: bytes) -> str | None:
        rows = await self._database.rows("SELECT outcome FROM pieces WHERE job = ? AND key = ?", (job, key))
        return next((str(row["outcome"]) for row in rows), None)

    async def add_piece(self, job: str, key: bytes, outcome: str) -> None:
        query = "INSERT OR REPLACE INTO pieces (job, key, outcome) VALUES (?, ?, ?)"
        await self._database.write(query, (job, key, outcome))

    async def due_callbacks(self, limit: int) -> Sequence[StoredJob]:
        """Jobs whose callback is due."""
        query = "SELECT * FROM jobs WHERE callback_next <= ? ORDER BY callback_next LIMIT ?"
        return await self._all(query, (time.time(), limit))

    async def next_callback(self) -> float | None:
        """When the next callback is due, in Unix seconds."""
        due = await self._database.value("SELECT MIN(callback_next) FROM jobs WHERE callback_next IS NOT NULL")
        return None if due is None else float(due)

    async def set_callback(self, job: str, state: CallbackState) -> None:
        query = (
            "UPDATE jobs SET callback_attempts = ?, callback_delivered = ?, callback_next = ?, callback_problem = ? "
            "WHERE id = ?"
        )
        await self._database.write(query, (state.attempts, state.delivered, state.next_attempt, state.problem, job))

    async def _finish(self, job: str, state: JobState, change: str, about: str | None) -> bool:
        """End a job that has not ended, and schedule its callback."""
        query = f"""
            UPDATE jobs SET {change}, state = :state, finished = :now,
                callback_next = CASE WHEN callback_url IS NULL THEN NULL ELSE :now END
            WHERE id = :job AND state IN ('queued', 'running') RETURNING id"""
        rows = await self._database.write(query, {"state": state, "now": time.time(), "job": job, "about": about})
        if rows:
            await self._database.write("DELETE FROM pieces WHERE job = ?", (job,))
            await asyncio.to_thread(self.recording_of(job).unlink, missing_ok=True)
        return bool(rows)

    async def _delete_orphans(self) -> None:
        """Delete folders of jobs that were never added, or are deleted."""
        known = {row["id"] for row in await self._database.rows("SELECT id FROM jobs")}
        for folder in await asyncio.to_thread(lambda: list(self._folder.iterdir())):
            if folder.name not in known and _is_job_id(folder.name) and await asyncio.to_thread(self._is_old, folder):
                logger.info("deleting the folder of job {}, which is not stored", folder.name)
                await self.drop_folder(folder.name)

    def _is_old(self, folder: Path) -> bool:
        try:
            return time.time() - folder.stat().st_mtime >= self._min_orphan_s
        except FileNotFoundError:
            return False

    async def _one(self, query: str, values: Values) -> StoredJob | None:
        return next(iter(await self._all(query, values)), None)

    async def _all(self, query: str, values: Values) -> list[StoredJob]:
        rows = await self._database.rows(query, values)
        return await asyncio.to_thread(lambda: [_job_of(row) for row in rows])  # a job may have a script as an option


def _request_of(job: StoredJob) -> tuple[object, ...]:
    """What two requests with the same idempotency key must have in common."""
    return job.kind, job.options, job.audio_url, job.callback_url, job.recording_digest


def _job_of(row: sqlite3.Row) -> StoredJob:
    names = ("id", "owner", "kind", "recording_name", "audio_url", "created", "started", "finished", "attempts")
    more = ("step", "progress", "audio_s", "idempotency_key", "recording_digest", "callback_url")
    callback = (row[f"callback_{name}"] for name in ("attempts", "delivered", "next", "problem"))
    return StoredJob(
        **{name: row[name] for name in (*names, *more)},
        options=json.loads(row["options"]),
        state=JobState(row["state"]),
        timings=_timings_of(row["result"]),
        failure=JobFailure(**json.loads(row["failure"])) if row["failure"] else None,
        callback=CallbackState(*callback),
    )


def _timings_of(result: str | None) -> dict[str, float]:
    """Results of earlier versions have none."""
    return dict(*json.loads(result)[3:]) if result is not None else {}


def _is_job_id(name: str) -> bool:
    return name.startswith(PREFIX) and name[len(PREFIX) :].isalnum()
