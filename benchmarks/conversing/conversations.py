"""Conversations put together from utterances: turns of 1 to 15 s, pauses, interruptions, loudness that differs."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.conversing.voices import Utterance
from steno.types import SAMPLE_RATE

MIN_TURN_S, MAX_TURN_S = 1.0, 15.0
OVERLAP_SHARE, OVERLAP_S = 0.15, (0.2, 1.0)
"""Share of turns that begin before the one before has ended, and by how much."""
PAUSE_S, GAP_S = (0.1, 0.8), (0.05, 0.25)
"""Between turns, and between utterances of a turn."""
LOUDNESS_RMS, LOUDNESS_DB, ROOM_DBFS = 0.06, 4.0, -64.0


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word of the reference."""

    text: str
    start_s: float
    end_s: float
    speaker: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A recording and who says what in it."""

    audio: NDArray[np.float32]
    words: tuple[SpokenWord, ...]
    speakers: int


def conversation(voices: Mapping[str, Sequence[Utterance]], seconds: float, rng: random.Random) -> Conversation:
    """All of `voices` speak; whose turn it is is chance."""
    room = np.random.default_rng(rng.randrange(2**31))
    audio = np.zeros(round((seconds + 2 * MAX_TURN_S) * SAMPLE_RATE), np.float32)
    words: list[SpokenWord] = []
    first = rng.sample(sorted(voices), len(voices))
    at_s, speaker = 0.5, ""
    while at_s < seconds or first:
        others = [name for name in sorted(voices) if name != speaker or len(voices) == 1]
        speaker = first.pop() if first else rng.choice(others)
        samples, said = _turn(voices[speaker], math.exp(rng.uniform(math.log(MIN_TURN_S), math.log(MAX_TURN_S))), rng)
        begin = round(at_s * SAMPLE_RATE)
        if begin + len(samples) > len(audio):
            break
        audio[begin : begin + len(samples)] += samples
        words += [SpokenWord(text, at_s + start, at_s + end, speaker) for text, start, end in said]
        end_s = at_s + said[-1][2]
        overlaps = rng.random() < OVERLAP_SHARE and len(voices) > 1
        at_s = end_s - min(rng.uniform(*OVERLAP_S), (end_s - at_s) / 2) if overlaps else end_s + rng.uniform(*PAUSE_S)
    audio = audio[: round((max(word.end_s for word in words) + 0.5) * SAMPLE_RATE)]
    audio = audio + room.normal(0, 10 ** (ROOM_DBFS / 20), len(audio)).astype(np.float32)
    return Conversation(audio, tuple(sorted(words, key=lambda word: word.start_s)), len({w.speaker for w in words}))


def _turn(
    said: Sequence[Utterance], seconds: float, rng: random.Random
) -> tuple[NDArray[np.float32], list[tuple[str, float, float]]]:
    """About `seconds` of one speaker; the last utterance is cut short."""
    parts: list[NDArray[np.float32]] = []
    words: list[tuple[str, float, float]] = []
    at = 0
    while at < seconds * SAMPLE_RATE:
        utterance = rng.choice(said)
        left = max(round(seconds * SAMPLE_RATE) - at, round(0.3 * SAMPLE_RATE))
        samples, at_s = utterance.samples[:left], at / SAMPLE_RATE
        for text, start, end in utterance.words:
            if start < len(samples) / SAMPLE_RATE - 0.05:
                words.append((text, at_s + start, at_s + min(end, len(samples) / SAMPLE_RATE)))
        gap = np.zeros(round(rng.uniform(*GAP_S) * SAMPLE_RATE), np.float32)
        parts += [samples, gap]
        at += len(samples) + len(gap)
    turn = np.concatenate(parts)
    loudness = LOUDNESS_RMS * 10 ** (rng.uniform(-LOUDNESS_DB, LOUDNESS_DB) / 20)
    return turn * np.float32(loudness / np.sqrt(np.mean(np.square(turn)))), words
