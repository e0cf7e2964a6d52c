"""Speech for `benchmarks.turns`: sentences of recordings, with pauses put into them, in the noise of their room."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from steno.audio.decode import decode
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

LEAD_S, TAIL_S = 0.4, 4.0
"""Of room noise, before and after each."""
NOISE_S = 0.2
FADE = 400
"""Samples over which two pieces of room noise are mixed."""
NEAR_S = 0.08
"""Max distance of the quietest moment from the aligner's boundary of two words."""
GAP_DB = -15.0
"""Level, relative to that of words, below which a moment between two words is a gap: a cut there cuts no sound."""
ROOM_DB = -20.0
"""Level of a room, relative to that of words, above which what was found is no silence of the room."""
AUDIBLE_DB = -30.0
"""Level, relative to the loudest moment of a sentence, above which it is still speech."""
PAUSE_S = (0.3, 0.8)
SENTENCE_ENDS, CLAUSE_ENDS = ".?!", ".?!,;:–"


@dataclass(frozen=True, slots=True)
class SpokenWord:
    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Speech:
    """A sentence. Times are those of `audio`."""

    audio: Audio
    text: str
    end_s: float
    """End of the speech."""
    pause_s: tuple[float, float] | None = None
    """Start and end of the pause put into it."""


class TurnRecording:
    """A recording and its words."""

    def __init__(self, path: Path, words: Sequence[SpokenWord]) -> None:
        self._audio = np.concatenate(list(decode(path, max_seconds=None)))
        self._words = words
        levels = [_level(self._samples(word.start_s, word.end_s)) for word in words]
        self._speech_db = float(np.median(levels))
        self._noise = _room_noise(self._audio, self._speech_db)
        self._sentences = list(_sentences(words))

    def sentences(self) -> Iterator[Speech]:
        for first, last in self._sentences:
            yield self._speech(first, last, None, 0.0)

    def paused(self, each: int, chance: random.Random, lengths_s: tuple[float, float] = PAUSE_S) -> Iterator[Speech]:
        """Each sentence up to `each` times, with a pause within a clause: behind its second word or later."""
        for first, last in self._sentences:
            words = range(first + 1, last)
            inside = [n for n in words if self._words[n].text[-1] not in CLAUSE_ENDS and self._gap(n) is not None]
            for n in sorted(chance.sample(inside, min(each, len(inside)))):
                yield self._speech(first, last, n, chance.uniform(*lengths_s))

    def _speech(self, first: int, last: int, paused_after: int | None, pause_s: float) -> Speech:
        before_s = self._words[first - 1].end_s if first else 0.0
        begin = round(max(self._words[first].start_s - 0.15, before_s) * SAMPLE_RATE)
        end = self._quietest_near(self._words[last].end_s)
        lead = round(LEAD_S * SAMPLE_RATE)
        parts, pause = [self._room(LEAD_S)], None
        if paused_after is not None and (cut := self._gap(paused_after)) is not None:
            at_s = (lead + cut - begin) / SAMPLE_RATE
            pause = (at_s, at_s + pause_s)
            parts += [self._audio[begin:cut], self._room(pause_s)]
            begin = cut
        spoken = np.concatenate([*parts, self._audio[begin:end]])
        text = " ".join(word.text for word in self._words[first : last + 1])
        return Speech(np.concatenate([spoken, self._room(TAIL_S)]), text, _audible_until_s(spoken), pause)

    def _gap(self, n: int) -> int | None:
        """The sample at which word `n` can be cut from the next one; None if they run into each other."""
        at = self._quietest_near(self._words[n].end_s)
        return at if _level(self._audio[at - 160 : at + 160]) < self._speech_db + GAP_DB else None

    def _quietest_near(self, seconds: float) -> int:
        near, at = round(NEAR_S * SAMPLE_RATE), round(seconds * SAMPLE_RATE)
        choice = range(max(at - near, 160), min(at + near, len(self._audio) - 160), 80)
        return min(choice, key=lambda sample: _level(self._audio[sample - 160 : sample + 160]))

    def _room(self, seconds: float) -> Audio:
        """The recording's own noise, forwards and backwards, without a seam."""
        fade = np.sqrt(np.linspace(0, 1, FADE, dtype=np.float32))
        room, piece = self._noise, self._noise
        while len(room) < seconds * SAMPLE_RATE:
            piece = piece[::-1]
            seam = room[-FADE:] * fade[::-1] + piece[:FADE] * fade
            room = np.concatenate([room[:-FADE], seam, piece[FADE:]])
        return room[: round(seconds * SAMPLE_RATE)]

    def _samples(self, start_s: float, end_s: float) -> Audio:
        return self._audio[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]


def _sentences(words: Sequence[SpokenWord]) -> Iterator[tuple[int, int]]:
    """Numbers of the first and the last word of each."""
    first = 0
    for n, word in enumerate(words):
        if word.text[-1] in SENTENCE_ENDS:
            yield first, n
            first = n + 1


def _room_noise(audio: Audio, speech_db: float) -> Audio:
    """The quietest stretch that is not digital silence; that, if there is no other as far below the speech."""
    size = round(NOISE_S * SAMPLE_RATE)
    stretches = [audio[at : at + size] for at in range(0, len(audio) - size, size // 4)]
    recorded = [stretch for stretch in stretches if np.count_nonzero(stretch) > size / 2]
    quietest = min(recorded, key=_level)
    return quietest if _level(quietest) < speech_db + ROOM_DB else np.zeros(size, np.float32)


def _audible_until_s(audio: Audio) -> float:
    levels = [_level(audio[at : at + 160]) for at in range(0, len(audio) - 159, 160)]
    loudest = max(levels)
    return (max(n for n, level in enumerate(levels) if level > loudest + AUDIBLE_DB) + 1) / 100


def _level(audio: Audio) -> float:
    """In dBFS."""
    return float(10 * np.log10(np.mean(np.square(audio, dtype=np.float64)) + 1e-12)) if len(audio) else -120.0
