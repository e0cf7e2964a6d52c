"""The batched VAD: many streams meet in one run, each gets its own answer, one that floods holds nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.virtual import run
from pipelines.live.studio import AtOnce, LoudnessVad
from steno.pipelines.live.hearing import FRAMES_PER_TURN, MAX_BATCH, Hearing
from steno.vad.levels import frame_levels
from steno.vad.silero import FRAME, SileroVad, VadState


class CountingVad(LoudnessVad):
    def __init__(self) -> None:
        self.batches: list[int] = []

    def step(self, frames: NDArray[np.float32], states: Sequence[VadState]) -> NDArray[np.float32]:
        self.batches.append(len(frames))
        return super().step(frames, states)


class Told:
    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []

    def heard(self, streams: int, frames: int, busy_s: float) -> None:
        assert busy_s >= 0
        self.runs.append((streams, frames))


def noise(frames: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((frames, FRAME)).astype(np.float32) * np.float32(0.05)


async def test_streams_that_are_heard_together_get_what_they_would_get_alone() -> None:
    hearing = Hearing()
    streams = [noise(frames, seed) for seed, frames in enumerate((1, 5, 20, 33))]
    together = await asyncio.gather(*(hearing.listen().hear(frames) for frames in streams))
    for frames, (probabilities, levels) in zip(streams, together, strict=True):
        alone = SileroVad().feed(frames.reshape(-1))
        assert probabilities == pytest.approx(alone, abs=2e-4)
        assert np.array_equal(levels, frame_levels(frames.reshape(-1)))
    await hearing.aclose()


async def test_a_stream_goes_on_where_it_was() -> None:
    hearing = Hearing()
    frames = noise(12, 3)
    ear = hearing.listen()
    parts = [(await ear.hear(part))[0] for part in (frames[:5], frames[5:5], frames[5:])]
    assert np.concatenate(parts) == pytest.approx(SileroVad().feed(frames.reshape(-1)), abs=2e-4)
    await hearing.aclose()


def test_frames_that_wait_together_are_heard_together() -> None:
    async def main() -> None:
        vad, told = CountingVad(), Told()
        hearing = Hearing(told, load=lambda: vad, thread=AtOnce())
        await asyncio.gather(*(hearing.listen().hear(noise(2, n)) for n in range(10)))
        assert vad.batches == [10, 10]
        assert told.runs == [(10, 20)]

    run(main())


def test_a_batch_is_bounded_and_the_rest_comes_next() -> None:
    async def main() -> None:
        vad = CountingVad()
        hearing = Hearing(load=lambda: vad, thread=AtOnce())
        await asyncio.gather(*(hearing.listen().hear(noise(1, n)) for n in range(MAX_BATCH + 3)))
        assert vad.batches == [MAX_BATCH, 3]

    run(main())


def test_a_stream_that_brings_minutes_takes_turns_with_the_others() -> None:
    async def main() -> None:
        hearing = Hearing(load=CountingVad, thread=AtOnce())
        flood = asyncio.create_task(hearing.listen().hear(noise(FRAMES_PER_TURN * 50, 0)))
        await asyncio.sleep(0)
        await hearing.listen().hear(noise(2, 1))
        assert not flood.done()
        assert len((await flood)[0]) == FRAMES_PER_TURN * 50

    run(main())


def test_a_stream_that_left_is_not_waited_for() -> None:
    async def main() -> None:
        hearing = Hearing(load=CountingVad, thread=AtOnce())
        gone = asyncio.create_task(hearing.listen().hear(noise(500, 0)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        assert len((await hearing.listen().hear(noise(3, 1)))[0]) == 3

    run(main())


def test_a_vad_that_fails_fails_those_who_wait_and_nobody_later() -> None:
    async def main() -> None:
        attempts: list[int] = []

        def load() -> LoudnessVad:
            attempts.append(1)
            if len(attempts) == 1:
                raise OSError("no such file")
            return LoudnessVad()

        hearing = Hearing(load=load, thread=AtOnce())
        with pytest.raises(OSError, match="no such file"):
            await hearing.listen().hear(noise(1, 0))
        assert len((await hearing.listen().hear(noise(1, 0)))[0]) == 1

    run(main())
