"""What speakers say: utterances of recordings and of synthetic voices, with the times of their words."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tests"))

from benchmarks.talks import _sentence as sentence
from steno.audio.decode import decode
from steno.backends.moonshine.installed import wheel_folder
from steno.speakers.voice_windows import voiced_regions
from steno.types import SAMPLE_RATE
from steno.vad.config import SegmenterConfig
from steno.vad.file_cutter import FileCutter, SpeechPiece
from steno.vad.levels import frame_levels
from steno.vad.silero import FRAME, SileroVad
from tiny.training.voices import speak

FLITE = ("slt", "rms", "awb", "kal16")
RECORDED = ("beckett", "clone-test", "two_cities")
"""In Moonshine's wheel, one speaker each."""
ONE_READER = ("beckett", "two_cities")
"""Means of their embeddings have a cosine of 0.82 in two networks, as have two halves of one recording; those of other
pairs of recorded speakers have 0.28 to 0.64 in CAM++."""
TWO_IN_ONE = {
    "nagg": ((4.9, 8.1), (12.0, 14.0), (17.6, 18.8), (20.4, 21.9)),
    "nell": ((8.7, 11.4), (14.7, 17.0), (22.5, 23.2)),
}
"""`endgame_nagg_nell.wav`, by ear."""
UTTERANCES = 40


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something said without a long pause."""

    samples: NDArray[np.float32]
    words: tuple[tuple[str, float, float], ...]
    """Text, start and end; in a recording without a transcript all of it is one word."""


def measured_voices(folder: Path | None) -> dict[str, list[Utterance]]:
    """The voices that results are reported of. `folder`: more recordings, a file for each speaker."""
    assets = assets_folder()
    files = {name: assets / f"{name}.wav" for name in RECORDED}
    if folder is not None:
        files |= {path.stem: path for path in sorted(folder.iterdir()) if path.is_file()}
    return {**{name: recorded(loaded(path)) for name, path in files.items()}, **synthetic()}


def tuning_voices() -> dict[str, list[Utterance]]:
    """Other voices, for choosing thresholds: two recorded speakers, and synthetic ones played slower and faster."""
    both = loaded(assets_folder() / "endgame_nagg_nell.wav")
    voices = {}
    for name, spans in TWO_IN_ONE.items():
        parts = [both[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] for start, end in spans]
        voices[name] = [utterance for part in parts for utterance in recorded(part)]
    for name, said in synthetic().items():
        for factor in (0.85, 1.17):
            voices[f"{name}@{factor}"] = [_resampled(utterance, factor) for utterance in said]
    return voices


def assets_folder() -> Path:
    """The recordings in Moonshine's wheel."""
    folder = wheel_folder()
    if folder is None:
        raise SystemExit("moonshine-voice is not installed; pip install 'steno[moonshine]'")
    return folder.parent


def synthetic() -> dict[str, list[Utterance]]:
    return {name: list(_spoken(name, seed)) for seed, name in enumerate(FLITE)}


def recorded(audio: NDArray[np.float32]) -> list[Utterance]:
    """A recording of one speaker, cut where its voice pauses."""
    found = []
    for start_s, end_s in voiced_regions(detected(audio)):
        part = audio[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]
        for samples in _halved(part):
            found.append(Utterance(samples, (("…", 0.0, len(samples) / SAMPLE_RATE),)))
    return [utterance for utterance in found if len(utterance.samples) > 0.3 * SAMPLE_RATE]


def detected(audio: NDArray[np.float32]) -> list[tuple[float, float]]:
    """Where the VAD detects speech, as in the server."""
    vad, cutter = SileroVad(), FileCutter(SegmenterConfig())
    probabilities = np.concatenate([vad.feed(audio), vad.flush()])[: len(audio) // FRAME]
    spans = [*cutter.feed(probabilities, frame_levels(audio[: len(probabilities) * FRAME])), *cutter.flush(len(audio))]
    return [
        (start / SAMPLE_RATE, end / SAMPLE_RATE)
        for span in spans
        if isinstance(span, SpeechPiece)
        for start, end in span.voiced_runs
    ]


def loaded(path: Path) -> NDArray[np.float32]:
    return np.concatenate(list(decode(path, max_seconds=None)))


def same_person(voices: Sequence[str]) -> bool:
    """Whether two of these have one speaker: a synthetic voice at two speeds, or `ONE_READER`."""
    people = {"reader" if name in ONE_READER else name.partition("@")[0] for name in voices}
    return len(people) < len(voices)


def seconds_of(voices: Mapping[str, Sequence[Utterance]]) -> dict[str, int]:
    return {name: round(sum(len(each.samples) for each in said) / SAMPLE_RATE) for name, said in voices.items()}


def _spoken(name: str, seed: int) -> Iterator[Utterance]:
    rng = random.Random(seed)
    for _ in range(UTTERANCES):
        text = sentence(rng)
        said = speak(text, name, rng.uniform(0.9, 1.2))
        words = tuple((word, *times) for word, times in zip(text.split(), said.words, strict=True))
        yield Utterance(said.samples.astype(np.float32) / np.float32(32768), words)


def _halved(audio: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Cut at the quietest moment between 2 and 4 s, while it is longer than 5 s."""
    while len(audio) > 5 * SAMPLE_RATE:
        search = np.convolve(np.square(audio[2 * SAMPLE_RATE : 4 * SAMPLE_RATE]), np.ones(800), "same")[::160]
        cut = 2 * SAMPLE_RATE + 160 * int(search.argmin())
        yield audio[:cut]
        audio = audio[cut:]
    yield audio


def _resampled(utterance: Utterance, factor: float) -> Utterance:
    samples = soxr.resample(utterance.samples, SAMPLE_RATE * factor, SAMPLE_RATE).astype(np.float32)
    return Utterance(samples, tuple((word, start / factor, end / factor) for word, start, end in utterance.words))
