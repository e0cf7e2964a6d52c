from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine

import numpy as np
import pytest

from engine.virtual import run
from pipelines.live.stream_harness import AtOnce
from steno import request_ids
from steno.pipelines.live.turn_stage import MAX_WAITING_PER_THREAD, TIMEOUT_S, TurnStage, Words
from steno.turn_detection.smart_turn import SmartTurn
from steno.turn_detection.turn_probability import by_sound
from steno.types import SAMPLE_RATE, Hypothesis
from vad.listen import recording

AUDIO = np.zeros(SAMPLE_RATE, np.float32)


class Judge:
    """A detector with one opinion; `goes_on`: it waits for this first."""

    def __init__(self, probability: float = 0.7, goes_on: threading.Event | None = None) -> None:
        self.heard, self.goes_on = probability, goes_on
        self.calls = 0

    def completeness(self, audio: np.ndarray) -> float:
        self.calls += 1
        if self.goes_on is not None:
            assert self.goes_on.wait(30)
        return self.heard

    def probability(self, hypothesis: Hypothesis | None, completeness: float | None) -> float:
        if hypothesis is None:
            assert completeness is not None
            return completeness
        return 0.1 if hypothesis.text.endswith(" the") else 0.9


def judged(
    stage: TurnStage, audio: np.ndarray, threshold: float, words: Words | None = None
) -> Coroutine[None, None, float | None]:
    return stage.judge(lambda: stage.completeness(audio), threshold, words)


class Judgements(list[str]):
    def turn_judged(self, judgement: str, took_s: float) -> None:
        self.append(judgement)


@pytest.mark.parametrize(("threshold", "is_complete"), [(0.7, True), (0.71, False)])
def test_what_is_at_least_as_likely_as_the_threshold_is_complete(threshold: float, is_complete: bool) -> None:
    async def main() -> None:
        telemetry = Judgements()
        stage = TurnStage(telemetry, Judge, AtOnce())
        assert await judged(stage, AUDIO, threshold) == 0.7
        assert telemetry == ["complete" if is_complete else "incomplete"]

    run(main())


@pytest.mark.parametrize(("text", "probability"), [("Send the", 0.1), ("Send them", 0.9), (None, 0.7)])
def test_words_that_are_recognised_are_judged_too(text: str | None, probability: float) -> None:
    async def words() -> Hypothesis | None:
        await asyncio.sleep(0.2)
        return None if text is None else Hypothesis(text, "en")

    async def main() -> None:
        telemetry = Judgements()
        assert await judged(TurnStage(telemetry, Judge, AtOnce()), AUDIO, 0.5, words) == probability
        assert telemetry == ["incomplete" if probability < 0.5 else "complete"]

    run(main())


def test_the_sound_is_not_judged_where_the_recogniser_tells_that_a_sentence_ends() -> None:
    async def words() -> Hypothesis:
        return Hypothesis("Send them", "en", sentence_end=0.4)

    async def main() -> None:
        judge = Judge()
        assert await judged(TurnStage(load=lambda: judge, threads=AtOnce()), AUDIO, 0.5, words) == 0.9
        assert judge.calls == 0

    run(main())


def test_a_judgement_whose_words_come_too_late_is_unknown() -> None:
    async def words() -> Hypothesis | None:
        await asyncio.sleep(TIMEOUT_S + 0.1)
        return Hypothesis("Send them", "en")

    async def main() -> None:
        telemetry = Judgements()
        assert await judged(TurnStage(telemetry, Judge, AtOnce()), AUDIO, 0.5, words) is None
        assert telemetry == ["late"]

    run(main())


async def test_a_judgement_that_takes_too_long_is_unknown() -> None:
    goes_on = threading.Event()
    telemetry = Judgements()
    stage = TurnStage(telemetry, lambda: Judge(goes_on=goes_on), size=1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await judged(stage, AUDIO, 0.5) is None
    assert TIMEOUT_S <= loop.time() - began < TIMEOUT_S + 1
    assert telemetry == ["late"]
    goes_on.set()
    await stage.aclose()


async def test_more_pauses_than_can_be_judged_in_time_are_unknown_at_once() -> None:
    goes_on = threading.Event()
    judge = Judge(goes_on=goes_on)
    stage = TurnStage(load=lambda: judge, size=1)
    stage.prepare()
    first = [asyncio.create_task(judged(stage, AUDIO, 0.5)) for _ in range(MAX_WAITING_PER_THREAD)]
    while not judge.calls:
        await asyncio.sleep(0.001)
    assert await asyncio.wait_for(judged(stage, AUDIO, 0.5), TIMEOUT_S / 2) is None
    goes_on.set()
    assert await asyncio.gather(*first) == [0.7] * MAX_WAITING_PER_THREAD
    assert await judged(stage, AUDIO, 0.5) == 0.7
    await stage.aclose()


def test_a_detector_that_fails_leaves_the_decision_to_silence() -> None:
    class Failing(Judge):
        def completeness(self, audio: np.ndarray) -> float:
            raise ValueError("broken")

    async def main() -> None:
        telemetry = Judgements()
        stage = TurnStage(telemetry, Failing, AtOnce())
        assert await judged(stage, AUDIO, 0.5) is None
        assert telemetry == ["failed"]

    run(main())


def test_a_detector_that_could_not_be_loaded_is_loaded_again() -> None:
    async def main() -> None:
        errors = [OSError("no file")]

        def load() -> Judge:
            if errors:
                raise errors.pop()
            return Judge()

        stage = TurnStage(load=load, threads=AtOnce())
        assert await judged(stage, AUDIO, 0.5) is None
        assert await judged(stage, AUDIO, 0.5) == 0.7

    run(main())


async def test_the_real_detector_runs_off_the_event_loop() -> None:
    stage = TurnStage(size=1)
    stage.prepare()
    audio = recording("meeting.flac")[: round(4.6 * SAMPLE_RATE)]
    spoken = np.concatenate([audio, np.zeros(3200, np.float32)])
    while await judged(stage, spoken, 0.5) is None:  # it is being loaded
        await asyncio.sleep(0.01)
    half = np.concatenate([audio[: round(2.14 * SAMPLE_RATE)], np.zeros(3200, np.float32)])
    sound = SmartTurn().completeness(half)
    assert sound < 0.1
    assert await judged(stage, half, 0.5) == pytest.approx(by_sound(sound))
    await stage.aclose()


def test_log_lines_of_its_threads_have_the_id_of_the_stream() -> None:
    found: list[str | None] = []

    class Noting(Judge):
        def completeness(self, audio: np.ndarray) -> float:
            found.append(request_ids.current())
            return super().completeness(audio)

    async def main() -> None:
        stage = TurnStage(None, Noting)
        with request_ids.within("captions-1"):
            await judged(stage, AUDIO, 0.5)
        await stage.aclose()

    asyncio.run(main())
    assert found == ["captions-1"]
