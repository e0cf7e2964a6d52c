from __future__ import annotations

import hashlib
import itertools
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import steno.vad.silero
from steno.types import SAMPLE_RATE
from steno.vad.silero import FRAME, BatchedVad, SileroVad, VadState
from vad.listen import RECORDINGS, recording

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from steno.types import Audio

SECONDS = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad()


@pytest.fixture(scope="module")
def batched() -> BatchedVad:
    return BatchedVad()


@pytest.fixture(scope="module")
def speech() -> Audio:
    return recording("doctor.flac")


def probabilities(vad: SileroVad, audio: Audio) -> NDArray[np.float32]:
    return vad.fresh().feed(audio)


def noise(dbfs: float) -> Audio:
    return np.random.default_rng(1).normal(0, 10 ** (dbfs / 20), len(SECONDS)).astype(np.float32).clip(-1, 1)


def chord() -> Audio:
    tremolo = 1 + 0.3 * np.sin(2 * np.pi * 4 * SECONDS)
    return sum(0.1 * tremolo * np.sin(2 * np.pi * hertz * SECONDS) for hertz in (220, 277, 330, 440)).astype(np.float32)


@pytest.mark.parametrize("name", RECORDINGS)
def test_speech_is_heard(vad: SileroVad, name: str) -> None:
    assert np.mean(probabilities(vad, recording(name)) > 0.5) > 0.75


@pytest.mark.parametrize("name", RECORDINGS)
def test_speech_is_heard_just_as_well_at_a_hundredth_of_the_amplitude(vad: SileroVad, name: str) -> None:
    audio = recording(name)
    quiet = np.round(audio / 100 * 32768).astype(np.float32) / 32768  # as a 16-bit file holds it
    loud_frames = probabilities(vad, audio) > 0.5
    quiet_frames = probabilities(vad, quiet) > 0.5
    assert np.mean(quiet_frames[loud_frames]) > 0.85


@pytest.mark.parametrize(
    "audio",
    [
        np.zeros(len(SECONDS), np.float32),
        noise(-10),
        noise(-30),
        noise(-60),
        *((0.3 * np.sin(2 * np.pi * hertz * SECONDS)).astype(np.float32) for hertz in (50, 440, 1000, 3000)),
        chord(),
    ],
    ids=["silence", "loud noise", "noise", "faint noise", "hum", "440 Hz", "1 kHz", "3 kHz", "chord"],
)
def test_what_is_not_speech_is_not_taken_for_it(vad: SileroVad, audio: Audio) -> None:
    assert probabilities(vad, audio).max() < 0.35


def test_both_exports_say_the_same(vad: SileroVad, batched: BatchedVad, speech: Audio) -> None:
    state = VadState()
    frames = speech[: len(speech) // FRAME * FRAME].reshape(-1, 1, FRAME)
    one_by_one = np.concatenate([batched.step(frame, [state]) for frame in frames])
    assert np.abs(one_by_one - probabilities(vad, speech)).max() < 1e-4


def test_streams_in_a_batch_do_not_hear_each_other(batched: BatchedVad, vad: SileroVad) -> None:
    audios = [recording(name)[: 3 * SAMPLE_RATE] for name in RECORDINGS]
    states = [VadState() for _ in audios]
    heard: list[list[float]] = [[] for _ in audios]
    for t in range(3 * SAMPLE_RATE // FRAME):
        members = [i for i in range(len(audios)) if (t + i) % 3]  # who has a frame changes from step to step
        starts = [len(heard[i]) * FRAME for i in members]
        frames = np.stack([audios[i][start : start + FRAME] for i, start in zip(members, starts, strict=True)])
        for i, p in zip(members, batched.step(frames, [states[i] for i in members]), strict=True):
            heard[i].append(p)
    for audio, got in zip(audios, heard, strict=True):
        assert np.abs(probabilities(vad, audio)[: len(got)] - got).max() < 1e-4


def test_the_batch_refuses_frames_of_another_length_and_takes_none(batched: BatchedVad) -> None:
    with pytest.raises(ValueError, match=r"\(1, 512\), got \(1, 480\)"):
        batched.step(np.zeros((1, 480), np.float32), [VadState()])
    assert batched.step(np.zeros((0, FRAME), np.float32), []).shape == (0,)


@pytest.mark.parametrize("step", [1, 160, 511, 512, 513, 5000])
def test_any_split_of_the_audio_gives_the_same_probabilities(vad: SileroVad, speech: Audio, step: int) -> None:
    speech = speech[:20_000]
    stream = vad.fresh()
    parts = [stream.feed(speech[a:b]) for a, b in itertools.pairwise([*range(0, len(speech), step), len(speech)])]
    assert np.abs(np.concatenate(parts) - probabilities(vad, speech)).max() < 1e-5


def test_a_long_file_is_the_same_in_one_call(vad: SileroVad) -> None:
    audio = recording("address.opus")
    stream = vad.fresh()
    parts = [stream.feed(audio[start : start + SAMPLE_RATE]) for start in range(0, len(audio), SAMPLE_RATE)]
    assert np.abs(np.concatenate(parts) - probabilities(vad, audio)).max() < 1e-4


def test_flush_completes_the_last_frame_with_silence_and_starts_over(vad: SileroVad, speech: Audio) -> None:
    stream = vad.fresh()
    padded = np.concatenate([speech[:10_000], np.zeros(240, np.float32)])
    expected = probabilities(vad, padded)
    for _ in range(2):
        heard = np.concatenate([stream.feed(speech[:10_000]), stream.flush()])
        assert len(heard) == 20
        assert np.abs(heard - expected).max() < 1e-5
    assert len(stream.flush()) == 0


def test_streams_that_share_the_weights_run_in_threads(vad: SileroVad) -> None:
    audio = recording("address.opus")
    expected = probabilities(vad, audio)
    with ThreadPoolExecutor(4) as pool:
        for heard in pool.map(lambda _: probabilities(vad, audio), range(8)):
            assert np.array_equal(heard, expected)


def test_the_shipped_models_are_those_of_the_record() -> None:
    data = Path(steno.vad.silero.__file__).parent / "data"
    recorded = re.findall(r"`(\S+\.onnx)` \| `([0-9a-f]{64})`", (data / "README.md").read_text())
    assert {name for name, _ in recorded} == {path.name for path in data.glob("*.onnx")}
    for name, digest in recorded:
        assert hashlib.sha256((data / name).read_bytes()).hexdigest() == digest


def test_importing_the_vad_loads_no_runtime() -> None:
    code = (
        "import sys, steno.vad.silero, steno.vad.segmenter, steno.vad.file_cutter, steno.turn_detection.smart_turn; "
        "print('onnxruntime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"
