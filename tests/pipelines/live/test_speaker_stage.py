"""Speakers of live streams: late, failing and vanished, none of which costs text."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.virtual import now, run
from pipelines.live.stream_harness import (
    AtOnce,
    Listener,
    LiveOptions,
    LoudnessVad,
    OfflineBackend,
    offline_engine,
    pcm,
    speak,
)
from recordings import conversation
from steno.captions.cues import CueStyle
from steno.errors import BackendCrashedError
from steno.pipelines.live.embedder_loader import RELOAD_S, RunInThread
from steno.pipelines.live.live_context import LiveContext, LiveSettings
from steno.pipelines.live.live_stream import LiveStream
from steno.pipelines.live.notices import SpeakersChanged
from steno.pipelines.live.service import LiveService
from steno.pipelines.live.speaker_stage import (
    LOADING_TIMEOUT_S,
    MAX_LOADING_S,
    MAX_PENDING_S,
    MAX_QUESTIONS,
    STALL_S,
    TIMEOUT_S,
    SpeakerStage,
    SpeakerStream,
)
from steno.pipelines.live.vad_stage import VadStage
from steno.speakers.campplus import CampplusEmbedder
from steno.speakers.online_diarizer import OnlineDiarizer
from steno.speakers.voice_clusters import SpeakerCount
from steno.streaming.events import Final
from steno.types import SAMPLE_RATE
from steno.vad.config import SegmenterConfig

FRAME = 512
TALK = pcm(("speech", 3), ("silence", 1), ("speech", 3), ("silence", 1))
DIARIZE = LiveOptions(diarize=True, words=True, speaker_updates=True)


class Voice:
    """An embedder that hears one voice; `goes_on`: it waits for this first."""

    dimension = 8
    thresholds = CampplusEmbedder.thresholds

    def __init__(self, goes_on: threading.Event | None = None, error: Exception | None = None) -> None:
        self.goes_on, self.error = goes_on, error
        self.calls = self.windows = 0

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        self.calls += 1
        self.windows += len(windows)
        if self.goes_on is not None:
            assert self.goes_on.wait(30)
        if self.error is not None:
            raise self.error
        return np.full((len(windows), 8), 8**-0.5, np.float32)


class Outcomes(list[str]):
    def speakers_labelled(self, outcome: str, waited_s: float) -> None:
        self.append(outcome)


def after(seconds: float) -> RunInThread:
    """In virtual time: a call takes so long."""

    async def call_later(call: Callable[[], Any]) -> Any:
        await asyncio.sleep(seconds)
        return call()

    return call_later


AT_ONCE = after(0.0)


def loading(seconds: float) -> RunInThread:
    """In virtual time: the first call, which loads the embedder, takes so long; the others take no time."""
    delays_s = [seconds]

    async def call_later(call: Callable[[], Any]) -> Any:
        await asyncio.sleep(delays_s.pop() if delays_s else 0.0)
        return call()

    return call_later


@asynccontextmanager
async def diarizing(
    run_in_thread: RunInThread,
    voice: Voice,
    options: LiveOptions = DIARIZE,
    settings: LiveSettings | None = None,
    backend: OfflineBackend | None = None,
) -> Any:
    outcomes = Outcomes()
    async with offline_engine(backend or OfflineBackend(rtf=0.05)) as engine:
        vad, speakers = (
            VadStage(load=LoudnessVad, thread=AtOnce()),
            SpeakerStage(outcomes, lambda: voice, run_in_thread),
        )
        service = LiveService(LiveContext(engine, vad, settings or LiveSettings(), CueStyle(), speaker_stage=speakers))
        async with service.open("a", service.check(options)) as stream:
            listener = Listener(stream)
            yield stream, listener, outcomes
            await listener.close()


def finals_of(listener: Listener) -> list[tuple[float, Final]]:
    return [(at, event) for at, event in listener.heard if isinstance(event, Final)]


async def talk(run_in_thread: RunInThread, voice: Voice, options: LiveOptions = DIARIZE) -> tuple[Listener, Outcomes]:
    async with diarizing(run_in_thread, voice, options) as (stream, listener, outcomes):
        await speak(stream, TALK)
        await stream.finish()
        await asyncio.sleep(0)
    return listener, outcomes


def test_finals_and_their_words_have_speakers() -> None:
    async def main() -> None:
        listener, outcomes = await talk(AT_ONCE, Voice())
        assert [final.speaker for final in listener.finals] == ["A", "A"]
        assert {word.speaker for final in listener.finals for word in final.words} == {"A"}
        assert outcomes == ["labelled", "labelled"]

    run(main())


def test_streams_that_do_not_ask_load_nothing() -> None:
    async def main() -> None:
        voice = Voice()
        listener, outcomes = await talk(AT_ONCE, voice, LiveOptions(words=True))
        assert [final.speaker for final in listener.finals] == [None, None]
        assert (voice.calls, outcomes) == (0, [])

    run(main())


@pytest.mark.parametrize("way", ["flush", "cut", "short pauses"])
def test_segments_that_begin_in_running_speech_have_speakers(way: str) -> None:
    async def main() -> None:
        options = replace(DIARIZE, silence_ms=100) if way == "short pauses" else DIARIZE
        segmenter = SegmenterConfig(max_s=2.0, search_from_s=1.6) if way == "cut" else SegmenterConfig()
        settings = LiveSettings(segmenter)
        async with diarizing(AT_ONCE, Voice(), options, settings) as (stream, listener, outcomes):
            for _ in range(6):
                pause = [("silence", 0.224)] if way == "short pauses" else []
                await speak(stream, pcm(("speech", 0.768), *pause))
                if way == "flush":
                    await stream.flush()
            await stream.finish()
        finals = [final for final in listener.finals if final.text]
        assert len(finals) == (3 if way == "cut" else 6)
        assert {final.speaker for final in finals} == {"A"}
        assert set(outcomes) == {"labelled"}

    run(main())


def test_speakers_that_are_asked_for_no_more_are_embedded_no_more() -> None:
    async def main() -> None:
        voice = Voice()
        async with diarizing(after(0.2), voice) as (stream, listener, outcomes):
            await speak(stream, TALK)
            await stream.flush()
            await stream.configure(LiveOptions())
            windows = voice.windows
            await speak(stream, TALK)
            await stream.finish()
        assert outcomes == ["labelled", "labelled"]
        assert [final.speaker for final in listener.finals if final.text] == ["A", "A", None, None]
        assert voice.windows == windows

    run(main())


def windows_of(stream: LiveStream) -> int:
    """How many windows the voices of a stream consist of."""
    speakers = stream._details._speakers
    assert speakers is not None
    assert speakers._diarizer is not None
    return len(speakers._diarizer._clusters._vectors)


def test_discarded_speech_is_no_part_of_the_voices() -> None:
    async def main() -> None:
        voice = Voice()
        async with diarizing(AT_ONCE, voice) as (stream, listener, _):
            await speak(stream, pcm(("speech", 4.096)))
            await stream.reset()
            await speak(stream, pcm(("speech", 1.024), ("silence", 1)))
            await stream.finish()
            assert voice.windows > 8
            assert windows_of(stream) == 1
        assert [final.speaker for final in listener.finals if final.text] == ["A"]

    run(main())


def test_a_final_that_fails_leaves_its_speech_in_the_voices() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=0.01)
        backend.errors = [BackendCrashedError("it died")] * 99
        voice = Voice()
        async with diarizing(AT_ONCE, voice, backend=backend) as (stream, listener, _):
            await speak(stream, pcm(("speech", 3), ("silence", 10)))
            backend.errors = []
            await speak(stream, pcm(("speech", 3), ("silence", 1)))
            await stream.finish()
            assert windows_of(stream) == voice.windows
        assert [(final.text == "", final.speaker) for final in listener.finals] == [(True, None), (False, "A")]

    run(main())


@pytest.mark.parametrize("words", [True, False])
def test_a_late_embedder_costs_a_second_and_no_text_and_the_label_follows(words: bool) -> None:
    async def main() -> None:
        options = LiveOptions(diarize=True, words=words, speaker_updates=True)
        prompt, _ = await talk(AT_ONCE, Voice(), options)
        began = now()
        late, outcomes = await talk(after(0.9), Voice(), options)
        assert outcomes == ["late", "late"]
        assert [final.text for final in late.finals] == [final.text for final in prompt.finals]
        assert [final.speaker for final in late.finals] == [None, None]
        assert [len(final.words) for final in late.finals] == [len(final.words) for final in prompt.finals]
        began_prompt = finals_of(prompt)[0][0]
        assert finals_of(late)[0][0] - began <= began_prompt + TIMEOUT_S + 0.11
        changed = [event.speakers for _, event in late.heard if isinstance(event, SpeakersChanged)]
        assert changed == [{0: "A"}, {1: "A"}]
        order = [type(event) for _, event in late.heard if isinstance(event, Final | SpeakersChanged)]
        assert order == [Final, SpeakersChanged] * 2

    run(main())


def test_a_network_that_is_slower_than_speech_delays_no_text_by_more_than_a_second() -> None:
    async def times(seconds: float) -> list[float]:
        began = now()
        async with diarizing(after(seconds), Voice()) as (stream, listener, _):
            await asyncio.sleep(seconds + 1)  # it is loaded
            await speak(stream, TALK * 6)
            await stream.finish()
        return [at - began - seconds for at, _ in finals_of(listener)]

    async def main() -> None:
        prompt, slow = await times(0.0), await times(4.0)
        assert len(prompt) == len(slow) == 12
        assert all(0 <= late - early <= TIMEOUT_S + 0.11 for early, late in zip(prompt, slow, strict=True))

    run(main())


@pytest.mark.parametrize("seconds", [2.0, 4.8, 12.0])
@pytest.mark.parametrize("silence_s", [0, 3.8])
def test_speech_that_comes_while_the_network_is_loaded_gets_its_labels(seconds: float, silence_s: float) -> None:
    talk_of_two = pcm(("silence", silence_s), ("speech", 0.96), ("silence", 1), ("speech", 3), ("silence", 1))

    async def heard(seconds: float) -> tuple[Listener, Outcomes, int]:
        voice = Voice()
        async with diarizing(loading(seconds), voice) as (stream, listener, outcomes):
            await speak(stream, talk_of_two)
            await asyncio.sleep(seconds)
            await stream.finish()
            await asyncio.sleep(0)
        return listener, outcomes, voice.windows

    async def main() -> None:
        prompt, _, windows = await heard(0.0)
        late, outcomes, late_windows = await heard(seconds)
        told = {final.segment_id: final.speaker for final in late.finals}
        for _, event in late.heard:
            told |= event.speakers if isinstance(event, SpeakersChanged) else {}
        assert told == {0: "A", 1: "A"}
        assert outcomes == ["labelled", "labelled"] or seconds > LOADING_TIMEOUT_S
        assert late_windows == windows
        assert [final.text for final in late.finals] == [final.text for final in prompt.finals]

    run(main())


def test_what_waited_for_the_network_is_embedded_in_slices() -> None:
    async def main() -> None:
        calls: list[float] = []
        voice = Voice()

        async def timed(call: Callable[[], Any]) -> Any:
            await asyncio.sleep(0.0 if calls else 10.5)  # the first call loads the network
            before = voice.windows
            result = call()
            calls.append(voice.windows - before)
            return result

        stream = opened(SpeakerStage(load=lambda: voice, run_in_thread=timed))
        for n in range(10):
            await stream.hear(*voiced(1.024, n * 1.024))
            await asyncio.sleep(1.024)
        found = await stream.label(0, 0.0, 10.24)
        assert found is not None
        assert sum(turn.end_s - turn.start_s for turn in found.turns) == pytest.approx(10.24)
        assert voice.windows == (10.24 - 1.5) // 0.375 + 1 + 1
        assert len(calls) > 3
        assert max(calls) <= (MAX_PENDING_S + 1.024) // 0.375 + 1
        await stream.aclose()

    run(main())


def test_a_network_that_is_never_loaded_costs_half_a_minute_of_audio() -> None:
    async def main() -> None:
        stream = opened(SpeakerStage(load=Voice, run_in_thread=after(3600)))
        for n in range(100):
            await stream.hear(*voiced(1.024, n * 1.024))
            await asyncio.sleep(1.024)
        assert MAX_LOADING_S <= stream._pending_s <= MAX_LOADING_S + 1
        await stream.aclose()

    run(main())


def test_updates_come_only_to_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(OnlineDiarizer, "changes")  # they are not computed either

    async def main() -> None:
        late, outcomes = await talk(after(0.2), Voice(), LiveOptions(diarize=True))
        assert outcomes == ["labelled", "labelled"]
        late, outcomes = await talk(after(0.9), Voice(), LiveOptions(diarize=True))
        assert outcomes == ["late", "late"]
        assert not [event for _, event in late.heard if isinstance(event, SpeakersChanged)]

    run(main())


def test_a_failing_embedder_costs_the_labels_and_nothing_else(logs: list[str]) -> None:
    async def main() -> None:
        listener, outcomes = await talk(AT_ONCE, Voice(error=ValueError("broken")))
        assert [final.text for final in listener.finals] == ["w0 w1 w2 w3 w4 w5 w6"] * 2
        assert [final.speaker for final in listener.finals] == [None, None]
        assert outcomes == ["failed", "failed"]
        assert sum("speakers were not told apart: broken" in line for line in logs) == 1

    run(main())


# --- the stage, in real threads ---


def voiced(seconds: float, at_s: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
    frames = round(seconds * SAMPLE_RATE) // FRAME
    begin = round(at_s * SAMPLE_RATE)
    return np.ones((frames, FRAME), np.float32), np.ones(frames, np.bool_), begin + frames * FRAME


@pytest.fixture
def goes_on() -> Iterator[threading.Event]:
    """Set at the end, so that no thread outlives a test."""
    event = threading.Event()
    yield event
    event.set()


def opened(stage: SpeakerStage, on_changes: Callable[[Mapping[int, str]], None] = lambda _: None) -> SpeakerStream:
    return stage.open_stream(SpeakerCount(), 0.0, on_changes)


def test_a_network_that_could_not_be_loaded_is_loaded_again_after_a_while() -> None:
    async def main() -> None:
        errors = [OSError("no file")]

        def load() -> Voice:
            if errors:
                raise errors.pop()
            return Voice()

        outcomes = Outcomes()
        stream = opened(SpeakerStage(outcomes, load, AT_ONCE))
        assert await stream.label(0, 0.0, 1.0) is None
        await asyncio.sleep(RELOAD_S)
        await stream.hear(*voiced(1.0))
        await asyncio.sleep(0.1)
        await stream.hear(*voiced(2.0, 1.0))
        found = await stream.label(1, 1.0, 3.0)
        assert found is not None
        assert found.names == ("A",)
        assert outcomes == ["failed", "labelled"]
        await stream.aclose()

    run(main())


def test_a_network_that_fails_to_load_slowly_delays_one_final_by_more_than_a_second(logs: list[str]) -> None:
    attempts: list[float] = []

    def load() -> Voice:
        attempts.append(now())
        raise OSError("no file")

    async def main() -> None:
        outcomes, waits = Outcomes(), []
        began = now()
        stream = opened(SpeakerStage(outcomes, load, after(12.0)))
        for n in range(100):
            asked = now()
            await stream.hear(*voiced(0.8, n * 0.8))
            await stream.label(n, n * 0.8, (n + 1) * 0.8)
            waits.append(now() - asked)
            await asyncio.sleep(0.8)
        assert waits == pytest.approx([LOADING_TIMEOUT_S, *[TIMEOUT_S] * 3, 0.8, *[0.0] * 95])
        assert outcomes == [*["late"] * 4, *["failed"] * 96]
        ends = [at - began for at in attempts]
        gaps = [later - earlier - 12.0 for earlier, later in pairwise(ends)]
        assert gaps == pytest.approx([RELOAD_S, 2 * RELOAD_S], abs=0.8)  # it is asked for each 0.8 s
        assert sum("could not be loaded" in line for line in logs) == len(attempts)
        assert len(logs) == len(attempts)
        await stream.aclose()

    run(main())


def test_a_burst_after_a_pause_on_the_wire_is_embedded_whole() -> None:
    async def main() -> None:
        voice = Voice()
        stream = opened(SpeakerStage(load=lambda: voice, run_in_thread=after(0.05)))
        await stream.hear(*voiced(1.6))
        await asyncio.sleep(30)
        for n in range(10):
            await stream.hear(*voiced(1.024, 1.6 + n * 1.024))
        found = await stream.label(0, 0.0, 11.84)
        assert found is not None
        assert sum(turn.end_s - turn.start_s for turn in found.turns) == pytest.approx(11.84)
        assert voice.windows == 1 + (11.84 - 1.5) // 0.375 + 1
        await stream.aclose()

    run(main())


async def test_a_client_that_sends_too_fast_waits_and_a_hung_network_holds_it_up_once(goes_on: threading.Event) -> None:
    voice = Voice(goes_on)
    stage = SpeakerStage(load=lambda: voice)
    stream = opened(stage)
    await stage.embedder()  # a slow load would hold it up first
    while not voice.calls:
        await stream.hear(*voiced(1.0))
        await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for n in range(60):
        await stream.hear(*voiced(1.0, n + 10.0))
    assert STALL_S <= loop.time() - began < STALL_S + 2
    assert stream._pending_s <= MAX_PENDING_S + 1
    assert await asyncio.wait_for(stream.label(0, 0.0, 1.0), TIMEOUT_S + 1) is None
    await stream.aclose()
    await stage.aclose()


async def test_no_more_finals_wait_than_may(goes_on: threading.Event) -> None:
    outcomes = Outcomes()
    voice = Voice(goes_on)
    stage = SpeakerStage(outcomes, lambda: voice)
    stream = opened(stage)
    await stream.hear(*voiced(2.0))
    asked = [asyncio.create_task(stream.label(n, 0.0, 1.0)) for n in range(MAX_QUESTIONS + 20)]
    while not voice.calls:
        await asyncio.sleep(0.01)
    for _ in range(100):
        stream.forget(0.0, 1.0)
    assert len(stream._questions) <= MAX_QUESTIONS
    assert outcomes.count("late") >= 19
    goes_on.set()
    await asyncio.gather(*asked)
    await stream.aclose()
    await stage.aclose()


async def test_a_client_that_vanishes_while_its_voice_is_embedded_leaves_nothing(goes_on: threading.Event) -> None:
    voice = Voice(goes_on)
    stage = SpeakerStage(load=lambda: voice)
    stream, other = opened(stage), opened(stage)
    await stream.hear(*voiced(2.0))
    asking = asyncio.create_task(stream.label(0, 0.0, 2.0))
    while not voice.calls:
        await asyncio.sleep(0.001)
    asking.cancel()
    await asyncio.wait([asking])
    async with asyncio.timeout(1):
        await stream.aclose()
        await stream.aclose()
    goes_on.set()
    gone = weakref.ref(stream)
    await other.hear(*voiced(2.0))
    assert await other.label(0, 0.0, 2.0) is not None  # the thread is free
    del stream, asking
    gc.collect()
    assert gone() is None
    await other.aclose()
    await stage.aclose()


async def test_the_real_network_runs_off_the_event_loop(fixtures: Path) -> None:
    stage = SpeakerStage()
    stream = opened(stage)
    samples = np.frombuffer(conversation(fixtures, "weather", "market")[44:], "<i2").astype(np.float32) / 32768
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    is_voiced = np.abs(frames).max(axis=1) > 0.01
    longest_s, stop = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal longest_s
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            before = loop.time()
            await asyncio.sleep(0)
            longest_s = max(longest_s, loop.time() - before)

    await stage.embedder()
    watching = asyncio.create_task(watch())
    for at in range(0, len(frames), 24):
        part = frames[at : at + 24]
        await stream.hear(part, is_voiced[at : at + 24], (at + len(part)) * FRAME)
    found = [await stream.label(n, *span) for n, span in enumerate([(0.0, 5.0), (5.2, 11.0)])]
    stop.set()
    await watching
    assert [each and each.main_speaker for each in found] == ["A", "B"]
    assert longest_s < 0.2  # an embedding takes 0.02 s; threads of a busy machine take turns
    await stream.aclose()
    await stage.aclose()
