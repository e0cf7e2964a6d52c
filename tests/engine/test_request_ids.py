"""Log lines of a backend have the ids of the requests that they are about."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from loguru import logger

from engine.engine_kinds import engine_kind, new_engine  # noqa: F401
from engine.test_engine import FailingSteps
from engine.virtual import SleepingBackend, recognize, run, step_engine
from steno import request_ids
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.queue import Priority
from steno.errors import BackendError

pytestmark = pytest.mark.usefixtures("engine_kind")


@pytest.fixture
def failures() -> Iterator[list[str]]:
    """The request ids of lines that say that the backend failed."""
    found: list[str] = []

    def note(line: str) -> None:
        record = line.record  # type: ignore[attr-defined]
        if "failed" in record["message"]:
            found.append(str(record["extra"].get("request_id")))

    sink = logger.add(note, level="ERROR", format="{message}")
    yield found
    logger.remove(sink)


async def request(engine: Engine, request_id: str, seconds: float, priority: Priority = Priority.INTERACTIVE) -> object:
    with request_ids.within(request_id):
        async with engine.admit(priority) as ticket:
            try:
                return await ticket.recognize(recognize(seconds), timeout_s=100)
            except BackendError as error:
                return error


def test_the_line_of_a_job_that_failed_has_the_id_of_its_request(failures: list[str]) -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=2, load_s=0)
        backend.call_errors = [None, ValueError("boom")]
        async with new_engine(backend, AdmissionLimits()) as engine:
            await asyncio.gather(request(engine, "good", 1), request(engine, "bad", 2))

    run(main())
    assert failures == ["bad"]


def test_the_line_of_a_step_that_failed_has_the_ids_of_all_its_requests(failures: list[str]) -> None:
    async def main() -> None:
        async with step_engine(backend=FailingSteps({4})) as engine:
            await asyncio.gather(request(engine, "one", 30), request(engine, "two", 30, Priority.LIVE_FINAL))

    run(main())
    assert [set(ids.split(",")) for ids in failures] == [{"one", "two"}]


def test_a_thread_logs_what_its_task_is_about(failures: list[str]) -> None:
    async def main() -> None:
        async with new_engine(FailingSteps({1}), AdmissionLimits()) as engine:
            await request(engine, "threaded", 1)

    asyncio.run(main())
    assert failures == ["threaded"]
