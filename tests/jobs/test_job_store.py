"""The job store: what it keeps through crashes, full disks and other processes, and the order of its jobs."""

from __future__ import annotations

import os
import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from steno.errors import IdempotencyConflictError, JobStorageError
from steno.jobs.job import JobFailure, JobResult, JobState, StoredJob
from steno.jobs.job_store import JobStore

RESULT = JobResult("wörter".encode(), "text/plain", {"X-Timing-Mode": "accurate"}, ".srt", {"total": 1.5})


def new_store(folder: Path) -> JobStore:
    store = JobStore(folder / "jobs.db", folder / "jobs")
    store.prepare()
    return store


def job(name: str, owner: str = "me", **changes: object) -> StoredJob:
    made = StoredJob(f"job_{name}", owner, "subtitles", {"language": "en"}, "talk.mp3", None, created=time.time())
    return replace(made, **changes)  # type: ignore[arg-type]


async def added(store: JobStore, *jobs: StoredJob) -> None:
    for one in jobs:
        await store.new_folder(one.id)
        store.recording_of(one.id).write_bytes(b"recording")
        await store.add(one)


async def added_without_end(store: JobStore) -> None:
    for n in range(1000):
        await store.add(job(f"n{n}", options={"prompt": "x" * 4000}))


@contextmanager
def full_disk(at_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond `at_bytes`."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_a_job_is_the_same_after_a_restart(tmp_path: Path) -> None:
    one = job("a", idempotency_key="key", callback_url="https://example.org/done")
    async with new_store(tmp_path) as store:
        await added(store, one)
    async with new_store(tmp_path) as store:
        assert await store.get("job_a", "me") == one
        assert await store.get("job_a", "another") is None
        assert store.recording_of("job_a").read_bytes() == b"recording"


async def test_what_ran_when_the_process_died_is_queued_again_and_keeps_its_pieces(tmp_path: Path) -> None:
    async with new_store(tmp_path) as store:
        await added(store, job("a"))
        assert await store.claim() is not None
        await store.add_piece("job_a", b"key", "outcome")
    async with new_store(tmp_path) as store:
        again = await store.claim()
        assert again is not None
        assert (again.id, again.state, again.attempts) == ("job_a", JobState.RUNNING, 2)
        assert await store.piece("job_a", b"key") == "outcome"
        assert await store.succeed("job_a", RESULT)
        assert await store.piece("job_a", b"key") is None
        assert await store.result("job_a") == RESULT
        assert not store.recording_of("job_a").exists()


async def test_a_result_of_an_earlier_version_has_no_timings(tmp_path: Path) -> None:
    async with new_store(tmp_path) as store:
        await added(store, job("a"))
        assert await store.claim() is not None
        assert await store.succeed("job_a", RESULT)
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as database, database:
        database.execute("UPDATE jobs SET result = ?", ('["text/plain", {}, null]',))
    async with new_store(tmp_path) as store:
        found = await store.get("job_a")
        assert found is not None
        assert found.timings == {}
        assert await store.result("job_a") == JobResult(RESULT.body, "text/plain", {}, None)


async def test_owners_take_turns(tmp_path: Path) -> None:
    async with new_store(tmp_path) as store:
        await added(store, *(job(f"a{n}", "eager") for n in range(4)), *(job(f"b{n}", "calm") for n in range(2)))
        claimed = [await store.claim() for _ in range(7)]
        assert [one and one.id for one in claimed] == ["job_a0", "job_b0", "job_a1", "job_b1", "job_a2", "job_a3", None]


async def test_a_job_that_waits_for_its_next_attempt_is_not_given_out(tmp_path: Path) -> None:
    async with new_store(tmp_path) as store:
        await added(store, job("a"))
        await store.claim()
        later = time.time() + 3600
        await store.requeue("job_a", later)
        assert await store.claim() is None
        assert await store.next_due() == pytest.approx(later)


async def test_a_job_ends_once(tmp_path: Path) -> None:
    async with new_store(tmp_path) as store:
        await added(store, job("a"))
        await store.claim()
        assert await store.cancel("job_a")
        assert not await store.succeed("job_a", RESULT)
        assert not await store.fail("job_a", JobFailure("code", "message"))
        await store.requeue("job_a")
        found = await store.get("job_a")
        assert found is not None
        assert (found.state, found.failure) == (JobState.CANCELLED, None)
        assert await store.result("job_a") is None


async def test_an_idempotency_key_stands_for_one_job_of_its_owner(tmp_path: Path) -> None:
    async with new_store(tmp_path) as store:
        first = job("a", idempotency_key="key")
        await added(store, first)
        assert await store.add(job("b", idempotency_key="key")) == first
        other = job("c", "another", idempotency_key="key")
        assert await store.add(other) == other
        for change in ({"kind": "transcription"}, {"options": {}}, {"recording_digest": "another"}):
            with pytest.raises(IdempotencyConflictError, match="job_a"):
                await store.add(job("d", idempotency_key="key", **change))


async def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    async with new_store(tmp_path) as store:
        await added(store, job("a"))
        await store.claim()
        size = sum(os.path.getsize(path) for path in tmp_path.glob("jobs.db*"))
        with full_disk(size + 20_000), pytest.raises(JobStorageError, match="cannot be stored"):
            await added_without_end(store)
        with full_disk(100), pytest.raises(JobStorageError):
            await store.succeed("job_a", JobResult(bytes(10_000), "text/plain", {}, None))
        assert await store.result("job_a") is None
        stored = await store.count_active("me")
        assert stored > 1
        assert await store.succeed("job_a", RESULT)
    async with new_store(tmp_path) as store:
        assert await store.count_active("me") == stored - 1
        assert await store.result("job_a") == RESULT


async def test_a_database_that_another_process_holds_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steno.jobs.job_database.BUSY_S", 0.1)
    async with new_store(tmp_path) as store:
        await added(store, job("a"))
        holder = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(JobStorageError, match="locked"):
            await store.add(job("b"))
        assert await store.get("job_a") is not None
        holder.execute("ROLLBACK")
        holder.close()
        await store.add(job("b"))


def test_a_database_of_another_version_or_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, but long enough to be looked at as one" * 50)
    with pytest.raises(JobStorageError, match="not a database"):
        JobStore(tmp_path / "text.db", tmp_path / "jobs").prepare()
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(JobStorageError, match="version 99"):
        JobStore(tmp_path / "newer.db", tmp_path / "jobs").prepare()
    (tmp_path / "file").touch()
    with pytest.raises(JobStorageError):
        JobStore(tmp_path / "a.db", tmp_path / "file" / "jobs").prepare()


async def test_folders_without_a_job_go_and_other_folders_stay(tmp_path: Path) -> None:
    async with new_store(tmp_path) as store:
        await added(store, job("a"))
        await store.new_folder("job_orphan")
        (tmp_path / "jobs" / "somebody's").mkdir()
    async with new_store(tmp_path):
        assert {path.name for path in (tmp_path / "jobs").iterdir()} == {"job_a", "somebody's"}
