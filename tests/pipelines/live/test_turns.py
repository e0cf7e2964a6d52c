"""Turn ends of a stream on the real engine, in virtual time; the detector is a script."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.engine_kinds import engine_kind  # noqa: F401
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
from steno.backends.base import Recognize
from steno.captions.cues import CueStyle
from steno.pipelines.live.live_context import LiveContext, LiveSettings
from steno.pipelines.live.service import LiveService
from steno.pipelines.live.turn_stage import TurnStage
from steno.pipelines.live.vad_stage import VadStage
from steno.streaming.events import Final, Silence
from steno.types import Hypothesis
from streaming.streams import assert_tiled

pytestmark = pytest.mark.usefixtures("engine_kind")

SMART = LiveOptions(turn_detection="smart")


class Script:
    """Says in turn what is listed; then that nothing is complete. An exception is raised."""

    def __init__(self, *probabilities: float | Exception) -> None:
        self._probabilities: Iterator[float | Exception] = iter(probabilities)
        self.heard_s: list[float] = []
        self.read: list[str | None] = []

    def completeness(self, audio: np.ndarray) -> float:
        self.heard_s.append(len(audio) / 16_000)
        said = next(self._probabilities, 0.0)
        if isinstance(said, Exception):
            raise said
        return said

    def probability(self, hypothesis: Hypothesis | None, completeness: float | None) -> float:
        self.read.append(hypothesis and hypothesis.text)
        return 0.9 if completeness is None else completeness


class HearingEnds(OfflineBackend):
    """Tells whether a sentence ends, unless it is `silent`, and needs 32 ms of a pause."""

    def __init__(self, *, silent: bool = False) -> None:
        super().__init__(rtf=0.05)
        self.capabilities = replace(self.capabilities, sentence_end=True, final_silence_ms=32)
        self.silent = silent

    async def recognize(self, work: Recognize) -> Hypothesis:
        hypothesis = await super().recognize(work)
        return hypothesis if self.silent else replace(hypothesis, sentence_end=2.0)


@asynccontextmanager
async def listening(backend: OfflineBackend, script: Script, options: LiveOptions = SMART, **more: Any) -> Any:
    async with offline_engine(backend) as engine:
        vad, turns = VadStage(load=LoudnessVad, thread=AtOnce()), TurnStage(load=lambda: script, threads=AtOnce())
        service = LiveService(LiveContext(engine, vad, LiveSettings(**more), CueStyle(), turn_stage=turns))
        async with service.open("a", service.check(options)) as stream:
            listener = Listener(stream)
            yield stream, listener
            await listener.close()


async def said(stream: Any, *stretches: tuple[str, float]) -> None:
    await speak(stream, pcm(*stretches))
    await stream.finish()
    await asyncio.sleep(0)


def finals_at(listener: Listener) -> list[float]:
    return [at for at, event in listener.heard if isinstance(event, Final)]


def test_a_complete_utterance_has_its_final_a_quarter_of_a_second_after_it() -> None:
    async def main() -> None:
        async with listening(OfflineBackend(rtf=0.05), Script(0.9)) as (stream, listener):
            began = now()
            await said(stream, ("speech", 3), ("silence", 2))
        assert [final.text for final in listener.finals] == ["w0 w1 w2 w3 w4 w5"]
        assert finals_at(listener)[0] - began - 3 <= 0.36  # recognition, 155 ms, began 200 ms after the speech

    run(main())


def test_a_pause_within_an_utterance_does_not_end_it_and_costs_no_text() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=0.05)
        script = Script(0.1, 0.9)
        async with listening(backend, script) as (stream, listener):
            await said(stream, ("speech", 2), ("silence", 0.8), ("speech", 2), ("silence", 2))
        assert [final.text for final in listener.finals] == ["w0 w1 w2 w3 w4 w5 w6 w7 w8"]
        assert len(script.heard_s) == 2
        assert backend.forgotten.count("a/0") == 1

    run(main())


def test_a_pause_is_judged_once_with_its_words_and_ends_the_utterance_when_it_is_long_enough() -> None:
    async def main() -> None:
        script = Script(0.35)  # with 0.9 s more of silence, these odds are above 1.2
        async with listening(OfflineBackend(rtf=0.05), script) as (stream, listener):
            began = now()
            await said(stream, ("speech", 2), ("silence", 4))
        assert script.read == ["w0 w1 w2 w3"]
        assert len(script.heard_s) == 1
        assert 0.9 < finals_at(listener)[0] - began - 2 < 1.4

    run(main())


def test_an_utterance_that_is_hardly_complete_ends_when_its_pause_is_long_enough_even_after_seconds() -> None:
    async def main() -> None:
        options = LiveOptions(turn_detection="smart", turn_threshold=0.8, max_silence_ms=8000)
        async with listening(OfflineBackend(rtf=0.05), Script(0.05), options) as (stream, listener):
            began = now()
            await said(stream, ("speech", 2), ("silence", 9))
        assert 3.9 < finals_at(listener)[0] - began - 2 < 4.3  # the log-odds of 0.05 and 0.8 are 4.33 × 0.9 s apart

    run(main())


@pytest.mark.parametrize("chunk_s", [0.02, 0.5])
def test_the_sound_is_judged_up_to_the_first_frame_of_the_pause_however_the_audio_comes(chunk_s: float) -> None:
    async def main() -> None:
        script = Script(0.9)
        async with listening(OfflineBackend(rtf=0.05), script) as (stream, _):
            audio = pcm(("speech", 2.048), ("silence", 1))
            size = 2 * round(chunk_s * 16_000)
            for at in range(0, len(audio), size):
                await stream.feed(audio[at : at + size])
            await stream.finish()
        assert script.heard_s == [2.08]

    run(main())


def test_the_sound_of_a_pause_is_judged_only_where_the_recogniser_does_not_tell_that_a_sentence_ends() -> None:
    async def main(backend: HearingEnds, heard_s: list[float], most_s: float) -> None:
        script = Script(0.9)
        async with listening(backend, script) as (stream, listener):
            began = now()
            await said(stream, ("speech", 2.048), ("silence", 2))
        assert script.heard_s == heard_s
        assert script.read == ["w0 w1 w2 w3"]
        assert finals_at(listener)[0] - began - 2.048 < most_s

    run(main(HearingEnds(), [], 0.21))  # the VAD's 64 ms, 32 of the pause, recognition of 104, which began then
    run(main(HearingEnds(silent=True), [2.08], 0.21))


def test_a_pause_whose_final_is_not_recognised_in_advance_is_judged_by_its_sound() -> None:
    async def main() -> None:
        script = Script(0.9)
        async with listening(OfflineBackend(rtf=0.4), script) as (stream, _):  # partials take over 0.5 s
            await said(stream, ("speech", 2), ("silence", 4))
        assert script.read == [None]

    run(main())


def test_a_speculative_final_that_is_under_way_is_cancelled_when_speech_goes_on() -> None:
    async def main() -> None:
        backend = OfflineBackend(rtf=0.3)
        async with listening(backend, Script(0.1, 0.1, 0.9)) as (stream, listener):
            await said(stream, ("speech", 2), ("silence", 0.3), ("speech", 2), ("silence", 4))
        assert backend.aborted >= 1
        assert [final.text for final in listener.finals] == ["w0 w1 w2 w3 w4 w5 w6 w7"]
        assert not any(final.diverged for final in listener.finals)

    run(main())


def test_an_utterance_that_nobody_finds_complete_ends_after_the_longest_silence() -> None:
    async def main() -> None:
        options = LiveOptions(turn_detection="smart", max_silence_ms=1500)
        async with listening(OfflineBackend(rtf=0.05), Script(), options) as (stream, listener):
            began = now()
            await said(stream, ("speech", 2), ("silence", 4))
        assert 1.4 < finals_at(listener)[0] - began - 2 < 1.7

    run(main())


def test_frames_that_stay_away_end_an_utterance_after_the_longest_silence() -> None:
    async def main() -> None:
        options = LiveOptions(turn_detection="smart", max_silence_ms=1500)
        async with listening(OfflineBackend(rtf=0.05), Script(), options) as (stream, listener):
            began = now()
            await speak(stream, pcm(("speech", 2)))
            await asyncio.sleep(5)
        assert 1.4 < finals_at(listener)[0] - began - 2 < 2.0

    run(main())


def test_a_detector_that_fails_leaves_the_end_to_the_usual_silence() -> None:
    async def main() -> None:
        async with listening(OfflineBackend(rtf=0.05), Script(OSError("broken"))) as (stream, listener):
            began = now()
            await said(stream, ("speech", 2), ("silence", 4))
        assert 0.4 < finals_at(listener)[0] - began - 2 < 0.8

    run(main())


def test_without_endpointing_no_pause_is_judged() -> None:
    async def main() -> None:
        script = Script(0.9)
        options = LiveOptions(turn_detection="smart", endpointing=False)
        async with listening(OfflineBackend(rtf=0.05), script, options) as (stream, listener):
            await said(stream, ("speech", 2), ("silence", 2))
        assert (len(listener.finals), script.heard_s) == (1, [])

    run(main())


def test_turn_detection_can_be_switched_on_during_a_stream() -> None:
    async def main() -> None:
        script = Script(0.9)
        async with listening(OfflineBackend(rtf=0.05), script, LiveOptions()) as (stream, listener):
            await speak(stream, pcm(("speech", 2), ("silence", 1)))
            assert script.heard_s == []
            await stream.configure(SMART)
            await said(stream, ("speech", 2), ("silence", 1))
        assert (len(listener.finals), len(script.heard_s)) == (2, 1)

    run(main())


ACTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["speech", "silence"]), st.sampled_from([0.1, 0.3, 0.7, 1.3, 2.9, 7.0])),
        st.sampled_from(["flush", "reset", "mute"]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTS, st.lists(st.sampled_from([0.1, 0.9, None]), max_size=8), st.sampled_from([0.02, 0.3]))
def test_whatever_is_judged_no_audio_is_lost_repeated_or_reordered(
    acts: list[Any], judgements: list[float | None], rtf: float
) -> None:
    script = Script(*(OSError("broken") if said is None else said for said in judgements))

    async def main() -> None:
        backend = OfflineBackend(rtf=rtf)
        fed_s = 0.0
        async with listening(backend, script) as (stream, listener):
            for act in acts:
                if isinstance(act, tuple):
                    await speak(stream, pcm(act))
                    fed_s += act[1]
                elif act == "mute":
                    await asyncio.sleep(2)
                else:
                    await getattr(stream, act)()
            await stream.finish()
            await asyncio.sleep(0)
        tiles = [(e.start_s, e.end_s) for _, e in listener.heard if isinstance(e, Final | Silence)]
        assert_tiled(tiles, 0.0, round(fed_s * 16_000) / 16_000)
        assert len({final.segment_id for final in listener.finals}) == len(listener.finals)
        assert not any(final.diverged or final.error for final in listener.finals)
        assert backend.under_way == []

    run(main())
