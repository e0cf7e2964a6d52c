"""Clients that send no more audio, in virtual time: what is taken for silence, and what must not be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from engine.virtual import now, run
from pipelines.live.stream_harness import (
    Listener,
    LiveOptions,
    OfflineBackend,
    live_of,
    offline_engine,
    pcm,
    speak,
)
from steno.pipelines.live.live_stream import LiveStream
from steno.pipelines.live.silence_watch import LATE_S, SilenceWatch
from steno.streaming.events import Final, Silence
from steno.types import SAMPLE_RATE
from steno.vad.config import SegmenterConfig

SILENCE_S = SegmenterConfig().silence_ms / 1000
SENTENCE = pcm(("silence", 1), ("speech", 2), ("silence", 0.1))
SENTENCE_S = len(SENTENCE) / 2 / SAMPLE_RATE
LONG_S = 8.0
"""Longer than any silence that ends a segment here."""

Talk = Callable[[LiveStream, Listener], Coroutine[Any, Any, None]]


def heard(talk: Talk, options: LiveOptions | None = None, **settings: Any) -> Listener:
    """What a client is told that talks so and never says that it is done."""

    async def main() -> Listener:
        async with (
            offline_engine(OfflineBackend(rtf=0.01)) as engine,
            live_of(engine, **settings).open("a", options or LiveOptions()) as stream,
        ):
            listener = Listener(stream)
            await talk(stream, listener)
            await listener.close()
            return listener

    return run(main())


async def mute(stream: LiveStream, _: Listener) -> None:
    await speak(stream, SENTENCE)
    await asyncio.sleep(LONG_S)


def test_a_client_that_mutes_gets_its_final_once_the_silence_is_long_enough() -> None:
    listener = heard(mute)
    ((at, final),) = [(at, event) for at, event in listener.heard if isinstance(event, Final)]
    assert isinstance(final, Final)
    assert (final.text, final.reason) == ("w0 w1 w2 w3", "endpoint")
    assert final.end_s == pytest.approx(SENTENCE_S)
    assert at == pytest.approx(SENTENCE_S + SILENCE_S, abs=0.2)


def test_the_silence_is_the_one_that_the_client_asked_for() -> None:
    listener = heard(mute, LiveOptions(silence_ms=2000))
    ((at, _),) = [(at, event) for at, event in listener.heard if isinstance(event, Final)]
    assert at == pytest.approx(SENTENCE_S + 2.0, abs=0.2)


def test_nothing_is_assumed_where_the_setting_says_so_or_the_client_ends_its_segments_itself() -> None:
    assert heard(mute, assume_silence=False).finals == []
    assert heard(mute, LiveOptions(endpointing=False)).finals == []


def test_the_clock_goes_on_from_the_samples_and_the_ranges_tile_them() -> None:
    async def mute_twice(stream: LiveStream, listener: Listener) -> None:
        await mute(stream, listener)
        await mute(stream, listener)
        await stream.finish()
        await asyncio.sleep(0)

    listener = heard(mute_twice)
    assert [final.text for final in listener.finals] == ["w0 w1 w2 w3", "w0 w1 w2 w3"]
    assert [final.end_s for final in listener.finals] == pytest.approx([SENTENCE_S, 2 * SENTENCE_S])
    tiles = [event for _, event in listener.heard if isinstance(event, Final | Silence)]
    assert [tile.start_s for tile in tiles] == pytest.approx([0.0, *(tile.end_s for tile in tiles[:-1])])
    assert tiles[-1].end_s == pytest.approx(2 * SENTENCE_S)


def test_audio_that_a_stalled_network_holds_back_is_neither_lost_nor_doubled() -> None:
    async def stall(stream: LiveStream, _: Listener) -> None:
        await speak(stream, pcm(("speech", 3)))
        await asyncio.sleep(3)
        await stream.feed(pcm(("speech", 3)))
        await speak(stream, pcm(("speech", 1), ("silence", 1)))

    first, second = heard(stall).finals
    assert (first.start_s, first.end_s, second.start_s) == pytest.approx((0.0, 3.0, 3.0))
    assert second.end_s == pytest.approx(7.5, abs=0.05)
    assert (first.text, second.text) == ("w0 w1 w2 w3 w4 w5", "w0 w1 w2 w3 w4 w5 w6 w7 w8")


@pytest.mark.parametrize("chunk_s", [0.02, 0.25, 1.0, 3.0])
def test_a_client_that_sends_its_audio_in_chunks_is_not_cut_between_them(chunk_s: float) -> None:
    async def talk_in_chunks(stream: LiveStream, _: Listener) -> None:
        for _chunk in range(round(9 / chunk_s)):
            await asyncio.sleep(chunk_s)
            await stream.feed(pcm(("speech", chunk_s)))

    assert heard(talk_in_chunks).finals == []


def test_a_file_that_is_sent_faster_than_real_time_is_not_cut_where_the_network_stalls() -> None:
    async def send(stream: LiveStream, _: Listener) -> None:
        for _second in range(8):
            await stream.feed(pcm(("speech", 1)))
        await asyncio.sleep(4)
        await stream.feed(pcm(("speech", 1), ("silence", 1)))
        await asyncio.sleep(1)

    (final,) = heard(send).finals
    assert final.end_s == pytest.approx(9.5, abs=0.05)


def test_a_client_that_the_server_does_not_read_is_not_cut() -> None:
    """Its next frame waits in `feed` until somebody reads what it is told."""

    async def main() -> None:
        async with (
            offline_engine(OfflineBackend(rtf=0.01)) as engine,
            live_of(engine).open("a", LiveOptions()) as stream,
        ):
            await stream.feed(pcm(("speech", 2)))
            while not stream.outbox.is_full:
                stream.outbox.put(Silence(0, 0))
            feeding = asyncio.create_task(stream.feed(pcm(("speech", 1))))
            await asyncio.sleep(LONG_S)
            assert not feeding.done()
            listener = Listener(stream)
            await feeding
            await asyncio.sleep(SILENCE_S / 2)
            assert listener.finals == []
            await listener.close()

    run(main())


def test_commands_that_bring_no_audio_do_not_put_the_end_off() -> None:
    async def mute_and_configure(stream: LiveStream, _: Listener) -> None:
        await speak(stream, SENTENCE)
        for _time in range(8):
            await asyncio.sleep(SILENCE_S / 4)
            await stream.configure(LiveOptions())

    assert len(heard(mute_and_configure).finals) == 1


def test_a_busy_event_loop_is_not_taken_for_a_silent_client() -> None:
    told: list[float] = []

    async def main() -> None:
        watch = SilenceWatch(lambda: 0.2, told.append)
        watch.listen(0.01)
        time.sleep(0.2 + 2 * LATE_S)  # as work on the event loop would
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert told == []
        watch.hold()

    asyncio.run(main())


def test_news_of_a_silence_ends_some_time() -> None:
    told: list[tuple[float, float]] = []

    async def main() -> None:
        watch = SilenceWatch(lambda: 2.0, lambda seconds: told.append((now(), seconds)))
        watch.listen(0.0)
        await asyncio.sleep(60)
        assert told == []
        watch.listen(0.1)
        await asyncio.sleep(60)
        watch.hold()

    run(main())
    assert told == [(pytest.approx(60.1 + at), at) for at in (2.0, 4.0, 6.0, 8.0, 10.0)]
