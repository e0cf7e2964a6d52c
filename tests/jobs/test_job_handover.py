"""Several processes on one job store: one runs the jobs, the others tell it what they store and cancel."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from steno.jobs.job import StoredJob
from steno.jobs.job_handover import RemoteJobRunner, listening
from steno.jobs.job_store import JobStore


class NotedRunner:
    """A `JobRunner` that notes what it is told."""

    def __init__(self) -> None:
        self.notes: asyncio.Queue[str] = asyncio.Queue()

    async def run(self) -> None: ...

    def wake(self) -> None:
        self.notes.put_nowait("added")

    def stop(self, job: str) -> None:
        self.notes.put_nowait(f"stop {job}")


def store_of(folder: Path, *, resumes: bool, min_orphan_s: float = 3600) -> JobStore:
    store = JobStore(folder / "jobs.db", folder / "jobs", resumes=resumes, min_orphan_s=min_orphan_s)
    store.prepare()
    return store


def job(name: str, created: float) -> StoredJob:
    return StoredJob(f"job_{name}", "me", "subtitles", {}, "talk.mp3", None, created=created)


async def test_the_runner_is_told_what_other_processes_did(tmp_path: Path) -> None:
    runner, remote = NotedRunner(), RemoteJobRunner(tmp_path / "jobs.sock")
    async with asyncio.timeout(30):
        with listening(tmp_path / "jobs.sock", runner):
            remote.wake()
            remote.stop("job_a")
            assert [await runner.notes.get(), await runner.notes.get()] == ["added", "stop job_a"]
        remote.wake()  # to nobody, for as long as the runner is started again
        with listening(tmp_path / "jobs.sock", runner):
            remote.stop("job_b")
            assert await runner.notes.get() == "stop job_b"


async def test_a_process_that_runs_no_jobs_leaves_running_ones_alone(tmp_path: Path) -> None:
    async with store_of(tmp_path, resumes=True) as runner:
        await runner.new_folder("job_a")
        await runner.add(job("a", 1.0))
        assert await runner.claim() is not None
        async with store_of(tmp_path, resumes=False) as other:
            assert await other.claim() is None
            await other.new_folder("job_b")
            await other.add(job("b", 2.0))
        claimed = await runner.claim()
        assert claimed is not None
        assert claimed.id == "job_b"


async def test_jobs_of_one_owner_that_two_processes_store_at_once_have_times_of_their_own(tmp_path: Path) -> None:
    async with store_of(tmp_path, resumes=True) as first, store_of(tmp_path, resumes=False) as second:
        adding = [store.add(job(f"{n}", 5.0)) for n, store in enumerate((first, second) * 10)]
        stored = await asyncio.gather(*adding)
        times = {each.created for each in await first.newest("me", 100)}
    assert times == {each.created for each in stored}
    assert sorted(times) == pytest.approx([5 + n / 1000 for n in range(20)])


async def test_a_folder_that_another_process_may_be_writing_is_kept(tmp_path: Path) -> None:
    async with store_of(tmp_path, resumes=False) as other:
        await other.new_folder("job_new")
        await other.new_folder("job_old")
        os.utime(tmp_path / "jobs" / "job_old", (time.time() - 7200, time.time() - 7200))
        async with store_of(tmp_path, resumes=True):
            assert [folder.name for folder in (tmp_path / "jobs").iterdir()] == ["job_new"]
