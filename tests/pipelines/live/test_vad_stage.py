"""The batched VAD: many streams meet in one run, each gets its own answer, one that floods holds nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.virtual import run
from pipelines.live.stream_harness import AtOnce, LoudnessVad
from steno.errors import BackendError
from steno.pipelines.live.vad_stage import FRAMES_PER_TURN, MAX_BATCH, VadStage
from steno.vad.levels import frame_levels
from steno.vad.silero import FRAME, SileroVad, VadState


class CountingVad(LoudnessVad):
    def __init__(self) -> None:
        self.batches: list[int] = []

    def step(self, frames: NDArray[np.float32], states: Sequence[VadState]) -> NDArray[np.float32]:
        self.batches.append(len(frames))
        return super().step(frames, states)


class RecordedRuns:
    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []

    def vad_ran(self, streams: int, frames: int, busy_s: float) -> None:
        assert busy_s >= 0
        self.runs.append((streams, frames))


def noise(frames: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((frames, FRAME)).astype(np.float32) * np.float32(0.05)


async def test_streams_that_are_heard_together_get_what_they_would_get_alone() -> None:
    stage = VadStage()
    streams = [noise(frames, seed) for seed, frames in enumerate((1, 5, 20, 33))]
    together = await asyncio.gather(*(stage.open_stream().detect(frames) for frames in streams))
    for frames, (probabilities, levels) in zip(streams, together, strict=True):
        alone = SileroVad().feed(frames.reshape(-1))
        assert probabilities == pytest.approx(alone, abs=2e-4)
        assert np.array_equal(levels, frame_levels(frames.reshape(-1)))
    await stage.aclose()


async def test_a_stream_goes_on_where_it_was() -> None:
    stage = VadStage()
    frames = noise(12, 3)
    stream = stage.open_stream()
    parts = [(await stream.detect(part))[0] for part in (frames[:5], frames[5:5], frames[5:])]
    assert np.concatenate(parts) == pytest.approx(SileroVad().feed(frames.reshape(-1)), abs=2e-4)
    await stage.aclose()


def test_frames_that_wait_together_are_heard_together() -> None:
    async def main() -> None:
        vad, telemetry = CountingVad(), RecordedRuns()
        stage = VadStage(telemetry, load=lambda: vad, thread=AtOnce())
        await asyncio.gather(*(stage.open_stream().detect(noise(2, n)) for n in range(10)))
        assert vad.batches == [10, 10]
        assert telemetry.runs == [(10, 20)]

    run(main())


def test_a_batch_is_bounded_and_the_rest_comes_next() -> None:
    async def main() -> None:
        vad = CountingVad()
        stage = VadStage(load=lambda: vad, thread=AtOnce())
        await asyncio.gather(*(stage.open_stream().detect(noise(1, n)) for n in range(MAX_BATCH + 3)))
        assert vad.batches == [MAX_BATCH, 3]

    run(main())


def test_a_stream_that_brings_minutes_takes_turns_with_the_others() -> None:
    async def main() -> None:
        stage = VadStage(load=CountingVad, thread=AtOnce())
        flood = asyncio.create_task(stage.open_stream().detect(noise(FRAMES_PER_TURN * 50, 0)))
        await asyncio.sleep(0)
        await stage.open_stream().detect(noise(2, 1))
        assert not flood.done()
        assert len((await flood)[0]) == FRAMES_PER_TURN * 50

    run(main())


def test_a_stream_that_left_is_not_waited_for() -> None:
    async def main() -> None:
        stage = VadStage(load=CountingVad, thread=AtOnce())
        gone = asyncio.create_task(stage.open_stream().detect(noise(500, 0)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        assert len((await stage.open_stream().detect(noise(3, 1)))[0]) == 3

    run(main())


class FailingVad(LoudnessVad):
    """Fails for frames that hold a NaN, and in the runs that are named."""

    def __init__(self, *runs: int) -> None:
        self._runs, self._count = set(runs), 0

    def step(self, frames: NDArray[np.float32], states: Sequence[VadState]) -> NDArray[np.float32]:
        self._count += 1
        if self._count in self._runs or np.isnan(frames).any():
            raise FloatingPointError("inference failed")
        return super().step(frames, states)


def test_frames_that_the_vad_fails_on_end_their_own_stream_alone() -> None:
    async def main() -> None:
        stage = VadStage(load=FailingVad, thread=AtOnce())
        bad = noise(FRAMES_PER_TURN * 3, 99)
        bad[FRAMES_PER_TURN + 2] = np.nan
        streams = [noise(FRAMES_PER_TURN * 3, n) for n in range(5)]
        outcomes = await asyncio.gather(
            *(stage.open_stream().detect(frames) for frames in (*streams, bad)), return_exceptions=True
        )
        assert isinstance(outcomes.pop(), BackendError)
        for frames, outcome in zip(streams, outcomes, strict=True):
            assert not isinstance(outcome, BaseException)
            assert np.array_equal(outcome[0], LoudnessVad().step(frames, []))

    run(main())


def test_a_run_that_fails_once_ends_no_stream() -> None:
    async def main() -> None:
        stage = VadStage(load=lambda: FailingVad(2), thread=AtOnce())
        results = await asyncio.gather(*(stage.open_stream().detect(noise(4, n)) for n in range(5)))
        assert [len(probabilities) for probabilities, _ in results] == [4] * 5

    run(main())


def test_a_vad_that_cannot_be_loaded_fails_those_who_wait_each_with_an_error_of_its_own_and_nobody_later() -> None:
    async def main() -> None:
        attempts: list[int] = []

        def load() -> LoudnessVad:
            attempts.append(1)
            if len(attempts) == 1:
                raise OSError("no such file")
            return LoudnessVad()

        stage = VadStage(load=load, thread=AtOnce())
        waiting = [asyncio.create_task(stage.open_stream().detect(noise(1, 0))) for _ in range(3)]
        await asyncio.wait(waiting)
        errors = [task.exception() for task in waiting]
        assert [type(error) for error in errors] == [BackendError] * 3
        assert len({id(error) for error in errors}) == 3
        assert len(attempts) == 1
        assert len((await stage.open_stream().detect(noise(1, 0)))[0]) == 1

    run(main())
