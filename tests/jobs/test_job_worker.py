"""The worker: attempts, pauses, what an interruption costs, quotas; on a real store and the scripted engine."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loguru import logger

from llm_server import Answer, Lines, LlmServer, as_json, good, question_of, translated
from steno.backends.base import Recognize
from steno.backends.scripted import ScriptedBackend
from steno.engine.admission import AdmissionLimits
from steno.engine.local import local_engine
from steno.engine.ticket import Ticket
from steno.errors import BackendCrashedError, JobStorageError, NotAudioError, UnknownJobError
from steno.jobs.job import JobResult, JobState, StoredJob
from steno.jobs.job_handover import RemoteJobRunner
from steno.jobs.job_service import JobLimits, JobService, NewJob
from steno.jobs.job_store import JobStore
from steno.jobs.job_worker import MAX_ATTEMPTS, JobProgress, JobWorker
from steno.jobs.piece_results import PieceResults
from steno.pipelines.translate import translate_transcript
from steno.translation.llm import Llm, LlmSettings
from steno.translation.translator import BATCH_SIZES, LanguagePair, Translator
from steno.types import SAMPLE_RATE, Segment, Transcript

Attempt = Callable[[Ticket, JobProgress], Awaitable[str]]
PIECES = 5


class Work:
    """A `JobWork` whose attempts are functions, one after the other; the last of them again and again."""

    services = None
    fields: Sequence[str] = ()

    def __init__(self, *attempts: Attempt, length_s: float | None = 60.0) -> None:
        self.attempts = list(attempts)
        self._length_s = length_s

    def check(self, options: Mapping[str, Any]) -> None: ...

    async def length_s(self, recording: Path) -> float | None:
        assert recording.read_bytes() == b"recording"
        return self._length_s

    async def run(self, job: StoredJob, recording: Path, ticket: Ticket, progress: JobProgress) -> JobResult:
        attempt = self.attempts.pop(0) if len(self.attempts) > 1 else self.attempts[0]
        text = await attempt(ticket, progress)
        return JobResult(text.encode(), "text/plain", {}, None)


class CountingBackend(ScriptedBackend):
    """Counts how often each piece is recognised, by its length in seconds."""

    def __init__(self) -> None:
        super().__init__(step_s=0.001)
        self.recognised: Counter[float] = Counter()

    def admit(self, work: Recognize) -> None:
        self.recognised[len(work.audio) / SAMPLE_RATE] += 1
        super().admit(work)


async def pieces(ticket: Ticket, progress: JobProgress, until: int = PIECES) -> str:
    texts = []
    for n in range(1, until + 1):
        piece = Recognize(np.full(n * SAMPLE_RATE, n, np.float32), words=True)
        texts.append((await ticket.recognize(piece)).text)
        progress.report("recognize", n / PIECES)
    return " | ".join(texts)


async def crashes(ticket: Ticket, progress: JobProgress) -> str:
    await pieces(ticket, progress, until=3)
    raise BackendCrashedError("the recogniser died")


async def is_no_audio(ticket: Ticket, progress: JobProgress) -> str:
    raise NotAudioError("this is no audio")


async def hangs(ticket: Ticket, progress: JobProgress) -> str:
    await pieces(ticket, progress, until=2)
    await asyncio.Event().wait()
    raise AssertionError


async def breaks(ticket: Ticket, progress: JobProgress) -> str:
    raise ZeroDivisionError


@asynccontextmanager
async def jobs(
    folder: Path,
    work: Work,
    backend: CountingBackend | None = None,
    limits: JobLimits | None = None,
    concurrent: int = 2,
) -> AsyncIterator[JobService]:
    limits = limits or JobLimits()
    store = JobStore(folder / "jobs.db", folder / "jobs")
    store.prepare()
    async with local_engine(backend or CountingBackend(), AdmissionLimits()) as engine:
        works = {"work": work}
        worker = JobWorker(
            store, engine, works, concurrent=concurrent, hours_per_day=limits.hours_per_day, pauses_s=(0.05,)
        )
        async with JobService(store, worker, works, limits) as service:
            yield service


async def test_a_store_whose_inbox_cannot_be_made_is_closed(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.db", tmp_path / "jobs")
    store.prepare()
    inbox = tmp_path / "missing" / "jobs.sock"
    with pytest.raises(OSError, match="No such file"):
        await JobService(store, RemoteJobRunner(inbox), {}, JobLimits(), inbox=inbox).__aenter__()
    with pytest.raises(JobStorageError, match="closed"):
        await store.count_active("me")


async def save(path: Path) -> None:
    path.write_bytes(b"recording")


async def submitted(service: JobService, owner: str = "me") -> str:
    return (await service.submit(NewJob(owner, "work", {}), save)).id


async def reached(service: JobService, job: str, *states: JobState) -> StoredJob:
    async with asyncio.timeout(20):
        while (found := await service.get(job, "me")).state not in states:
            await asyncio.sleep(0.01)
    return found


async def ended(service: JobService, job: str) -> StoredJob:
    return await reached(service, job, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


async def text_of(service: JobService, job: str) -> str:
    result = await service.store.result(job)
    assert result is not None
    return result.body.decode()


async def test_an_attempt_that_may_pass_is_repeated_and_recognises_no_piece_twice(tmp_path: Path) -> None:
    backend = CountingBackend()
    async with jobs(tmp_path / "a", Work(crashes, crashes, pieces), backend) as service:
        job = await submitted(service)
        done = await ended(service, job)
        interrupted = await text_of(service, job)
    assert (done.state, done.attempts) == (JobState.SUCCEEDED, 3)
    assert backend.recognised == dict.fromkeys([float(n) for n in range(1, PIECES + 1)], 1)
    async with jobs(tmp_path / "b", Work(pieces)) as service:
        job = await submitted(service)
        await ended(service, job)
        assert await text_of(service, job) == interrupted


async def test_an_attempt_that_is_repeated_asks_the_llm_nothing_twice(tmp_path: Path) -> None:
    languages = LanguagePair("fr", "en")
    lines = tuple(Segment(n, n, n + 1, f"This is what was said in line {n}.") for n in range(30))
    transcript = Transcript(" ".join(line.text for line in lines), "en", 30.0, lines)

    def odd(lines: Lines, request: dict[str, Any]) -> Answer:
        """The larger of two batches, which come in any order, gets an invalid answer, and is asked in smaller ones."""
        if len(lines) < BATCH_SIZES[0]:
            return good(lines, request)
        return Answer(as_json([{"i": line["i"], "text": "\ud800"} for line in lines]))

    with LlmServer(then=odd) as llm:
        translator = Translator(Llm(LlmSettings(llm.url, "key", "test", 5.0, 0)))

        async def translates(ticket: Ticket, progress: JobProgress) -> str:
            return (await translate_transcript(transcript, translator, languages, ticket)).transcript.text

        async def crashes_then(ticket: Ticket, progress: JobProgress) -> str:
            await translates(ticket, progress)
            raise BackendCrashedError("the recogniser died")

        async with jobs(tmp_path, Work(crashes_then, translates)) as service:
            job = await submitted(service)
            done = await ended(service, job)
            text = await text_of(service, job)
        await translator.aclose()
    assert (done.state, done.attempts) == (JobState.SUCCEEDED, 2)
    assert text == " ".join(translated(line.text, "French") for line in lines)
    questions = [str(question_of(request)) for request in llm.requests]
    assert len(questions) == len(set(questions)) > 2


async def test_an_invalid_answer_is_not_taken_for_that_of_the_next_try(tmp_path: Path) -> None:
    """One line is asked three times with the same question."""
    transcript = Transcript("Hello.", "en", 1.0, (Segment(0, 0.0, 1.0, "Hello."),))
    with LlmServer(lambda *_: Answer("no JSON")) as llm:
        translator = Translator(Llm(LlmSettings(llm.url, "key", "test", 5.0, 0)))

        async def translates(ticket: Ticket, progress: JobProgress) -> str:
            found = await translate_transcript(transcript, translator, LanguagePair("fr", "en"), ticket)
            return found.transcript.text

        async with jobs(tmp_path, Work(translates)) as service:
            job = (await ended(service, await submitted(service))).id
            assert await text_of(service, job) == translated("Hello.", "French")
        await translator.aclose()
    assert len(llm.requests) == 2


async def test_an_answer_that_cannot_be_looked_up_costs_a_question(tmp_path: Path, logs: list[str]) -> None:
    store = JobStore(tmp_path / "jobs.db", tmp_path / "jobs")
    results = PieceResults(store, "job_1")  # of a store that is not open
    assert await results.find_answer("question") is None
    await results.add_answer("question", "answer")
    assert [line.startswith("WARNING job job_1: ") for line in logs] == [True, True]


async def test_a_service_that_stops_goes_on_at_its_next_start(tmp_path: Path) -> None:
    backend = CountingBackend()
    async with jobs(tmp_path, Work(hangs), backend) as service:
        job = await submitted(service)
        async with asyncio.timeout(10):
            while backend.recognised[2.0] == 0 or await service.store.piece(job, b"") is not None:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
    async with jobs(tmp_path, Work(pieces), backend) as service:
        done = await ended(service, job)
    assert (done.state, done.attempts) == (JobState.SUCCEEDED, 1), "a graceful stop is no attempt"
    assert set(backend.recognised.values()) == {1}


async def test_an_error_that_will_not_pass_ends_the_job_at_once(tmp_path: Path) -> None:
    async with jobs(tmp_path, Work(is_no_audio)) as service:
        failed = await ended(service, await submitted(service))
        assert failed.state is JobState.FAILED
        assert failed.failure is not None
        assert (failed.failure.code, failed.failure.message, failed.attempts) == ("not_audio", "this is no audio", 1)


async def test_an_unhandled_error_fails_the_job_and_no_other(tmp_path: Path) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{extra[request_id]} {message}", level="ERROR")
    async with jobs(tmp_path, Work(breaks, pieces), concurrent=1) as service:
        first, second = await submitted(service), await submitted(service)
        failed = await ended(service, first)
        logger.remove(sink)
        assert [line.split()[0] for line in lines] == [first], "the line with the traceback names the job"
        assert failed.failure is not None
        assert failed.failure.code == "internal_error"
        assert "ZeroDivision" not in failed.failure.message
        assert (await ended(service, second)).state is JobState.SUCCEEDED


async def test_a_job_that_never_succeeds_is_given_up(tmp_path: Path) -> None:
    async with jobs(tmp_path, Work(crashes)) as service:
        failed = await ended(service, await submitted(service))
        assert (failed.state, failed.attempts) == (JobState.FAILED, MAX_ATTEMPTS)


async def test_a_cancellation_that_comes_late_keeps_the_result(tmp_path: Path) -> None:
    async with jobs(tmp_path, Work(pieces)) as service:
        done = await ended(service, await submitted(service))
        assert await service.cancel(done.id, "me") == done
        assert await text_of(service, done.id)
        with pytest.raises(UnknownJobError):
            await service.cancel(done.id, "another")


async def test_a_job_is_cancelled_where_it_is_and_deleted_afterwards(tmp_path: Path) -> None:
    async with jobs(tmp_path, Work(hangs), concurrent=1) as service:
        running, waiting = await submitted(service), await submitted(service)
        await reached(service, running, JobState.RUNNING)
        await service.delete(waiting, "me")
        assert (await service.get(waiting, "me")).state is JobState.CANCELLED
        await service.delete(running, "me")
        assert (await ended(service, running)).state is JobState.CANCELLED
        third = await submitted(service)
        await reached(service, third, JobState.RUNNING)  # the worker is free again
        await service.delete(running, "me")
        assert not service.store.recording_of(running).parent.exists()
        with suppress(UnknownJobError):
            await service.get(running, "me")
            raise AssertionError("it is deleted")


async def test_progress_and_length_are_stored_while_a_job_runs(tmp_path: Path) -> None:
    async with jobs(tmp_path, Work(hangs)) as service:
        job = await submitted(service)
        async with asyncio.timeout(10):
            while (found := await service.get(job, "me")).progress == 0:
                await asyncio.sleep(0.05)
        assert (found.step, found.progress, found.audio_s) == ("recognize", 2 / PIECES, 60.0)


async def test_hours_of_audio_are_counted_by_owner(tmp_path: Path) -> None:
    limits = JobLimits(hours_per_day=0.03)
    async with jobs(tmp_path, Work(pieces), limits=limits, concurrent=1) as service:
        first, second = await submitted(service), await submitted(service)
        assert (await ended(service, first)).state is JobState.SUCCEEDED
        refused = await ended(service, second)
        assert refused.failure is not None
        assert refused.failure.code == "job_quota_exceeded"


async def test_jobs_are_deleted_some_time_after_their_end(tmp_path: Path) -> None:
    async with jobs(tmp_path, Work(pieces)) as service:
        job = await submitted(service)
        await ended(service, job)
    time.sleep(0.05)
    async with jobs(tmp_path, Work(pieces), limits=JobLimits(keep_h=1e-5)) as service:
        async with asyncio.timeout(10):
            while await service.store.get(job) is not None or service.store.recording_of(job).parent.exists():
                await asyncio.sleep(0.01)
