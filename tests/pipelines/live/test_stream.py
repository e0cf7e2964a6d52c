"""One stream on the real engine, in virtual time: cadence, order, faults of the backend, back-pressure."""

from __future__ import annotations

import asyncio
from statistics import median

import pytest

from engine.engine_kinds import engine_kind  # noqa: F401
from engine.virtual import now, recognize, run
from held_memory import held_bytes
from pipelines.live.stream_harness import (
    Listener,
    LiveOptions,
    OfflineBackend,
    live_of,
    offline_engine,
    pcm,
    speak,
    step_engine,
)
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.queue import Priority
from steno.engine.worker.worker_server import MIN_REPORT_S
from steno.errors import BackendCrashedError, OverloadedError
from steno.pipelines.live.live_stream import MAX_BEHIND_S, MAX_WAITING
from steno.pipelines.live.notices import Lagging

pytestmark = pytest.mark.usefixtures("engine_kind")

SENTENCES = pcm(("speech", 3), ("silence", 1), ("speech", 2), ("silence", 1))


async def talk(engine: Engine, data: bytes, name: str = "a", **settings: float) -> Listener:
    """A whole conversation in real (that is, virtual) time."""
    async with live_of(engine, **settings).open(name, LiveOptions()) as stream:
        listener = Listener(stream)
        await speak(stream, data)
        await stream.finish()
        await asyncio.sleep(0)
        await listener.close()
    return listener


def test_partials_come_at_their_cadence_and_finals_soon_after_the_end() -> None:
    async def main() -> None:
        async with step_engine(slots=8, step_s=0.01) as engine:
            began = now()
            listener = await talk(engine, SENTENCES)
        assert [final.text for final in listener.finals] == ["w0 w1 w2 w3 w4 w5 w6", "w0 w1 w2 w3 w4"]
        assert 8 <= len(listener.partials) <= 12
        assert max(listener.lags(began)) < 0.25

    run(main())


def test_an_offline_backend_streams_as_well() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=0.05)
        async with offline_engine(backend) as engine:
            listener = await talk(engine, SENTENCES)
        assert [final.text for final in listener.finals] == ["w0 w1 w2 w3 w4 w5 w6", "w0 w1 w2 w3 w4"]
        assert len(listener.partials) >= 8

    run(main())


def test_a_slow_backend_stretches_the_partials_and_loses_no_final() -> None:
    async def main() -> None:
        quick = await _partials_of(OfflineBackend(rtf=0.01))
        slow = await _partials_of(OfflineBackend(rtf=0.45))
        assert 3 <= slow < quick

    async def _partials_of(backend: OfflineBackend) -> int:
        async with offline_engine(backend) as engine:
            listener = await talk(engine, pcm(("speech", 10), ("silence", 1)))
        assert [len(final.text.split()) for final in listener.finals] == [20]
        return len(listener.partials)

    run(main())


def test_a_final_that_fails_says_so_and_keeps_what_was_stable() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=0.01)
        async with offline_engine(backend) as engine, live_of(engine).open("a", LiveOptions()) as stream:
            listener = Listener(stream)
            await speak(stream, pcm(("speech", 3)))
            backend.errors = [BackendCrashedError("it died")] * 99
            await speak(stream, pcm(("silence", 10)))
            backend.errors = []
            await speak(stream, pcm(("speech", 2), ("silence", 1)))
            await stream.finish()
            await asyncio.sleep(0)
        first, second = listener.finals
        assert isinstance(first.error, BackendCrashedError)
        assert first.text == listener.partials[4].stable == "w0 w1"
        assert (second.text, second.error) == ("w0 w1 w2 w3 w4", None)

    run(main())


def test_a_final_whose_decoder_dies_again_and_again_is_tried_again_and_comes() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=0.01)
        async with offline_engine(backend) as engine, live_of(engine).open("a", LiveOptions()) as stream:
            listener = Listener(stream)
            await speak(stream, pcm(("speech", 3)))
            backend.errors = [BackendCrashedError("it died")] * 4
            await speak(stream, pcm(("silence", 6)))
            await stream.finish()
            await asyncio.sleep(0)
        (final,) = listener.finals
        assert (final.text, final.error) == ("w0 w1 w2 w3 w4 w5 w6", None)

    run(main())


def test_a_backend_that_raises_what_it_should_not_kills_nothing() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=0.01)
        backend.errors = [ZeroDivisionError(), RuntimeError(), MemoryError()]
        async with offline_engine(backend) as engine:
            listener = await talk(engine, SENTENCES)
            assert engine.status().is_working
        assert [final.error for final in listener.finals] == [None, None]

    run(main())


def test_a_backend_that_hangs_costs_one_final_and_only_its_time() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=0.01)
        limits = AdmissionLimits(request_timeout_s=60)
        async with offline_engine(backend, limits) as engine, live_of(engine).open("a", LiveOptions()) as stream:
            listener = Listener(stream)
            await stream.feed(pcm(("speech", 1)))
            await asyncio.sleep(1)
            backend.hangs = 1
            await stream.feed(pcm(("silence", 1)))
            began = now()
            await stream.finish()
            assert now() - began == pytest.approx(60, abs=1)
            await asyncio.sleep(0)
        (final,) = listener.finals
        assert final.error is not None
        assert final.error.code == "deadline_exceeded"
        assert backend.aborted == 1

    run(main())


def test_leaving_cancels_the_work_at_once_and_the_backend_forgets() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=100.0)
        async with offline_engine(backend) as engine:
            async with live_of(engine).open("a", LiveOptions()) as stream:
                await stream.feed(pcm(("speech", 2)))
                await asyncio.sleep(1)
                assert backend.under_way == ["a/0"]
            await asyncio.sleep(MIN_REPORT_S)  # a worker is told, and tells
            assert backend.under_way == []
            assert backend.forgotten == ["a/0", "a"]
            assert (engine.active, engine.status().running) == (0, 0)
            before = len(asyncio.all_tasks())
            await asyncio.sleep(1)
            assert len(asyncio.all_tasks()) == before

    run(main())


def test_a_discarded_segment_is_forgotten_and_the_stream_goes_on() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=0.01)
        async with offline_engine(backend) as engine, live_of(engine).open("a", LiveOptions()) as stream:
            listener = Listener(stream)
            await speak(stream, pcm(("speech", 2)))
            await stream.reset()
            await speak(stream, pcm(("silence", 1)))
            assert set(backend.forgotten) == {"a/0", "a"}, "and what was said before is no context any more"
            await speak(stream, pcm(("speech", 2), ("silence", 1)))
            await stream.finish()
            await asyncio.sleep(0)
        assert [final.segment_id for final in listener.finals] == [1]

    run(main())


def test_who_sends_faster_than_can_be_recognised_is_held_up() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=2.0)
        async with offline_engine(backend) as engine, live_of(engine).open("a", LiveOptions()) as stream:
            listener = Listener(stream)
            sending = asyncio.create_task(stream.feed(pcm(*[("speech", 5.0), ("silence", 1.0)] * 60)))
            await asyncio.sleep(20)
            assert not sending.done()
            assert stream.audio_s < MAX_BEHIND_S + 20
            assert any(isinstance(event, Lagging) for _, event in listener.heard)
            sending.cancel()
            await asyncio.wait([sending])

    run(main())


def test_finals_that_wait_for_minutes_come_all_the_same() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=4.0, workers=1, live_workers=0)
        async with offline_engine(backend) as engine, live_of(engine).open("a", LiveOptions()) as stream:
            listener = Listener(stream)
            await stream.feed(pcm(*[("speech", 5.0), ("silence", 1.0)] * 10))
            await stream.finish()
            await asyncio.sleep(0)
        assert [final.error for final in listener.finals] == [None] * 10

    run(main())


def test_who_flushes_on_and_on_behind_a_slow_final_is_held_up() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=100.0)
        async with offline_engine(backend) as engine, live_of(engine).open("a", LiveOptions()) as stream:
            flushes = 0

            async def flush_on_and_on() -> None:
                nonlocal flushes
                while True:
                    await stream.flush()
                    flushes += 1

            await stream.feed(pcm(("speech", 1), ("silence", 1)))
            flushing = asyncio.create_task(flush_on_and_on())
            await asyncio.sleep(30)
            assert MAX_WAITING / 2 < flushes <= MAX_WAITING + 2
            flushing.cancel()
            await asyncio.wait([flushing])

    run(main())


def test_who_does_not_read_is_held_up() -> None:
    async def main() -> None:
        async with (
            step_engine(slots=8, step_s=0.001) as engine,
            live_of(engine).open("a", LiveOptions()) as stream,
        ):
            sending = asyncio.create_task(stream.feed(pcm(*[("speech", 0.3), ("silence", 0.6)] * 1000)))
            await asyncio.sleep(600)
            assert not sending.done()
            assert held_bytes(stream.outbox) < 300 * 1000
            sending.cancel()
            await asyncio.wait([sending])

    run(main())


def test_while_live_work_waits_too_long_no_further_session_is_let_in() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=50.0, workers=1, live_workers=0)
        async with offline_engine(backend) as engine:
            live = live_of(engine, assume_silence=False)
            async with live.open("a", LiveOptions()) as first, live.open("b", LiveOptions()) as second:
                for stream in (first, second):
                    await stream.feed(pcm(("speech", 1)))
                await asyncio.sleep(3)
                with pytest.raises(OverloadedError, match="already wait") as refused:
                    async with live.open("c", LiveOptions()):
                        pass
                assert refused.value.retry_after_s >= 1

    run(main())


def test_an_open_session_keeps_the_model_and_its_end_lets_it_go() -> None:
    async def main() -> None:
        backend = OfflineBackend()
        async with offline_engine(backend, AdmissionLimits(idle_timeout_s=5)) as engine:
            async with live_of(engine).open("a", LiveOptions()):
                await asyncio.sleep(60)
                assert engine.model_state == "ready"
            await asyncio.sleep(6)
            assert engine.model_state == "unloaded"

    run(main())


@pytest.mark.parametrize("kind", ["step", "async"])
def test_uploads_beside_it_slow_a_stream_down_by_less_than_half(kind: str) -> None:
    """Each upload's piece is 30 s long; a stream alone is compared with the same stream beside twenty of them."""

    def engine() -> Engine:
        if kind == "step":
            return step_engine(slots=8, step_s=0.02)
        return offline_engine(OfflineBackend(rtf=0.05, workers=2, live_workers=1))

    async def upload(engine: Engine) -> None:
        async with engine.admit(Priority.INTERACTIVE) as ticket:
            while True:
                await ticket.recognize(recognize(30.0))

    async def lag_beside(uploads: int) -> float:
        async with engine() as running:
            tasks = [asyncio.create_task(upload(running)) for _ in range(uploads)]
            await asyncio.sleep(5)
            began = now()
            listener = await talk(running, SENTENCES * 4)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert len(listener.finals) == 8
            return median(listener.lags(began))

    async def main() -> None:
        alone, beside = await lag_beside(0), await lag_beside(20)
        assert alone > 0
        assert beside <= 1.5 * alone

    run(main())
