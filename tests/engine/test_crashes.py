"""Work whose decoder process dies, in virtual time."""

from __future__ import annotations

import pytest

from engine.engine_kinds import engine_kind, new_engine  # noqa: F401
from engine.virtual import SleepingBackend, now, recognize, run
from steno.backends.sphinx.process import DecodingTimeoutError
from steno.engine.admission import AdmissionLimits
from steno.engine.crashes import CRASH_PAUSES_S, CRASH_RETRY_S
from steno.engine.front import Engine
from steno.errors import BackendCrashedError
from steno.server.http.error_response import status_of

pytestmark = pytest.mark.usefixtures("engine_kind")


async def transcribe(engine: Engine, seconds: float) -> float:
    """Run one request; returns when it was done."""
    async with engine.admit() as ticket:
        await ticket.recognize(recognize(seconds))
    return now()


def test_work_whose_decoder_dies_is_tried_again_while_there_is_time() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=1, load_s=0)
        backend.call_errors = [BackendCrashedError("it died")] * 3
        async with new_engine(backend, AdmissionLimits()) as engine:
            assert await transcribe(engine, 1.0) == pytest.approx(4 * 1.0 + sum(CRASH_PAUSES_S[:3]))

    run(main())


def test_work_that_kills_every_decoder_is_given_back_with_a_time_to_try_again() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=1, load_s=0)
        backend.call_errors = [BackendCrashedError("it died")] * 99
        async with new_engine(backend, AdmissionLimits()) as engine:
            with pytest.raises(BackendCrashedError, match="it died; tries: 6") as failed:
                await transcribe(engine, 1.0)
            assert failed.value.retry_after_s == CRASH_RETRY_S
            assert status_of(failed.value) == 503

    run(main())


def test_a_try_that_would_come_too_late_is_not_made() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=1, load_s=0)
        backend.call_errors = [BackendCrashedError("it died")] * 99
        async with new_engine(backend, AdmissionLimits(request_timeout_s=3.0)) as engine, engine.admit() as ticket:
            with pytest.raises(BackendCrashedError, match="tries: 3"):
                await ticket.recognize(recognize(0.5))
            assert now() < 3.0

    run(main())


def test_a_partial_whose_decoder_died_and_work_that_took_too_long_are_not_tried_again() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=1, load_s=0)
        backend.call_errors = [BackendCrashedError("it died"), DecodingTimeoutError("too slow")]
        async with new_engine(backend, AdmissionLimits()) as engine, engine.admit() as ticket:
            for work in (recognize(1.0, utterance="a", final=False), recognize(1.0)):
                with pytest.raises(BackendCrashedError, match="tries: 1"):
                    await ticket.recognize(work)
            assert now() == 2.0

    run(main())
