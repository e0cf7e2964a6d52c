"""What a microphone would hear of some sentences: with pauses, noise, from afar, over a telephone, cut off."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import soxr
from numpy.typing import NDArray

from tiny.training.corpus import Utterance
from tiny.training.grammar import OTHER_SPELLINGS, vocabulary
from tiny.training.voices import RATE

Audio = NDArray[np.float32]

VOCABULARY = vocabulary()
SETTLED_S = 0.2
"""A sentence is over, and gets its full stop, when so much was heard after it."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Some audio and what is to be written of it."""

    audio: Audio
    """16 kHz."""
    language: str | None
    """None: nobody speaks."""
    text: str
    words: tuple[tuple[float, float], ...]
    """When each word of `text` is spoken, in seconds."""
    context: str = ""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How likely each thing is that happens to a clip, once training is past its beginning."""

    cut_off: float = 0.35
    nothing: float = 0.06
    noise: float = 0.35
    telephone: float = 0.15
    quiet: float = 0.5
    context: float = 0.3

    def part(self, of: float) -> Conditions:
        return Conditions(**{name: of * value for name, value in asdict(self).items()})


class Clips:
    """An endless supply, the same for the same seed.

    Args:
        said: the sentences to draw from.
    """

    def __init__(self, said: Sequence[Utterance], seed: int, conditions: Conditions) -> None:
        self._by_language = {name: [one for one in said if one.language == name] for name in ("en", "de")}
        self._rng = random.Random(seed)
        self._noise = np.random.default_rng(seed)
        self._conditions = conditions
        self._likely = conditions

    def draw(self, sentences: int, hardship: float = 1.0) -> Clip:
        """A clip of so many sentences, if not cut off. `hardship`, in [0, 1]: how much of what may happen does."""
        rng = self._rng
        self._likely = likely = self._conditions.part(hardship)
        if rng.random() < likely.nothing:
            clip = Clip(self._room(rng.uniform(0.1, 3.0 * sentences)), None, "", ())
        else:
            clip = self._speech(sentences)
            if rng.random() < likely.cut_off:
                clip = cut_off(clip, rng.uniform(0.2, len(clip.audio) / RATE))
        clip = self._in_context(clip)
        audio = clip.audio
        if rng.random() < likely.telephone:
            audio = telephone(audio)
        if rng.random() < likely.quiet:
            audio = audio * np.float32(10 ** (rng.uniform(-40, 3) / 20))
        return replace(clip, audio=np.clip(audio, -1, 1))

    def _speech(self, sentences: int) -> Clip:
        rng = self._rng
        said = self._by_language[rng.choices(("en", "de"), (0.7, 0.3))[0]]
        first = rng.choice(said)
        chosen = [first, *(rng.choice(said) for _ in range(sentences - 1))]
        clip = join(chosen, [rng.choice((0.0, rng.uniform(0, 0.7)))] + [rng.uniform(0.05, 0.8) for _ in chosen])
        if rng.random() < self._likely.noise:
            level = float(np.sqrt(np.mean(clip.audio**2))) * 10 ** (-rng.uniform(8, 35) / 20)
            clip = replace(clip, audio=clip.audio + self._hiss(len(clip.audio), level))
        return clip

    def _room(self, seconds: float) -> Audio:
        samples = round(seconds * RATE)
        return self._hiss(samples, self._rng.choice((0.0, 10 ** self._rng.uniform(-5, -1.2))))

    def _hiss(self, samples: int, level: float) -> Audio:
        """Noise between white and brown, of the given RMS, sometimes with the hum of the mains."""
        if not samples or not level:
            return np.zeros(samples, np.float32)
        white = np.fft.rfft(self._noise.standard_normal(samples))
        tilt = np.maximum(np.arange(len(white)), 8) ** -self._rng.choice((0.0, 0.5, 1.0))
        noise = np.fft.irfft(white * tilt, samples)
        if self._rng.random() < 0.3:
            noise = noise / noise.std() + np.sin(
                2 * np.pi * self._rng.choice((50, 60, 400)) * np.arange(samples) / RATE
            )
        return np.asarray(level * noise / noise.std(), np.float32)

    def _in_context(self, clip: Clip) -> Clip:
        """Words that may be said or not, and for names that sound alike, which of them is meant."""
        rng = self._rng
        spelled = {
            name: other
            for name, other in OTHER_SPELLINGS.items()
            if name in clip.text and rng.random() < 1.3 * self._likely.context
        }
        text = clip.text
        for name, other in spelled.items():
            text = text.replace(name, other)
        if not spelled and rng.random() >= self._likely.context:
            return clip
        never = {*OTHER_SPELLINGS.values()} - {*spelled.values()} if clip.text else set()
        words = [word for word in rng.sample(VOCABULARY, rng.randint(0, 5)) if word not in never]
        words = list(dict.fromkeys([*words, *spelled.values()]))
        rng.shuffle(words)
        return replace(clip, text=text, context=rng.choice((", ", " ", "\n")).join(words))


def join(said: Sequence[Utterance], pauses_s: Sequence[float]) -> Clip:
    """Sentences one after the other, with a pause before each and one at the end."""
    parts: list[Audio] = []
    words: list[tuple[float, float]] = []
    at = 0
    for one, pause_s in zip(said, pauses_s, strict=False):
        parts.append(np.zeros(round(pause_s * RATE), np.float32))
        at += len(parts[-1])
        words += [(start + at / RATE, end + at / RATE) for start, end in one.spoken.words]
        parts.append(one.spoken.samples.astype(np.float32) / 32768)
        at += len(parts[-1])
    parts.append(np.zeros(round(pauses_s[-1] * RATE), np.float32))
    return Clip(np.concatenate(parts), said[0].language, " ".join(one.text for one in said), tuple(words))


def cut_off(clip: Clip, at_s: float) -> Clip:
    """What is there at `at_s`: whole words, and a full stop only where it is plain that the sentence is over."""
    words = [word for word, (_, end) in zip(clip.text.split(), clip.words, strict=True) if end <= at_s]
    audio = clip.audio[: round(at_s * RATE)]
    if not words:
        return replace(clip, audio=audio, language=None, text="", words=())
    spans = clip.words[: len(words)]
    if spans[-1][1] + SETTLED_S > at_s:
        words[-1] = words[-1].removesuffix(".")
    return replace(clip, audio=audio, text=" ".join(words), words=spans)


def telephone(audio: Audio) -> Audio:
    """8 kHz and mu-law, and back."""
    if len(audio) < 16:
        return audio
    narrow = np.clip(soxr.resample(audio, RATE, RATE // 2), -1, 1)
    curve = np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)
    coarse = np.round(curve * 127) / 127
    return np.asarray(soxr.resample(np.sign(coarse) * (256 ** np.abs(coarse) - 1) / 255, RATE // 2, RATE), np.float32)
