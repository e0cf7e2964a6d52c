"""Simulated recordings with chat for `benchmarks.chat_sync`: levels, words and messages, not audio.

A recording is what its transcript and VAD would say of it: when somebody speaks and how loud, and words with times,
some of them wrong. The chat reacts to it after a lag; a part of it has nothing to do with it. None of the numbers here
is read by the estimator, or taken from it: the lag is a Beta distribution with a shape of its own for each recording.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from steno.archive.chat.chat_message import ChatMessage
from steno.types import Word

FRAME_S = 0.1
LAG_S = (2.0, 12.0)
NOISE = 0.3
VOCABULARY = 5000
TOPIC_WORDS = 40
STEP_S = (4.0, 60.0)
STEP_SPACING_S = 480.0
MAX_OFFSET_S, MAX_DRIFT_PPM = 90.0, 200.0
ASR_ERRORS = 0.12
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
SHOUTS = ("lol", "LUL", "gg", "wow", "KEKW", "nooo", "PogChamp", "haha")


@dataclass(frozen=True, slots=True)
class SimulatedRecording:
    """A recording as the estimator sees it, and what its chat reacts to."""

    duration_s: float
    activity: NDArray[np.float64]
    """Of each `FRAME_S`."""
    loudness_db: NDArray[np.float64]
    words: list[Word]
    said: list[Word]
    """As spoken, without recognition errors."""
    events_s: NDArray[np.float64]
    """Moments that excite."""


@dataclass(frozen=True, slots=True)
class TrueClock:
    """What the estimator has to find: second `t` of the chat is `t + offset(t)` of the recording."""

    steps_s: list[float]
    """On the chat's clock."""
    offsets_s: list[float]
    """One more than steps."""
    drift_ppm: float

    def offset_s(self, chat_s: NDArray[np.float64]) -> NDArray[np.float64]:
        part = np.searchsorted(self.steps_s, chat_s, side="right")
        return np.asarray(self.offsets_s)[part] + chat_s * self.drift_ppm * 1e-6

    def chat_s(self, recording_s: float) -> float | None:
        """When the chat saw this second; None if it never did. Of two times the first."""
        edges = [-np.inf, *self.steps_s, np.inf]
        for part, offset in enumerate(self.offsets_s):
            time = (recording_s - offset) / (1 + self.drift_ppm * 1e-6)
            if edges[part] <= time < edges[part + 1]:
                return float(time)
        return None


@dataclass(slots=True)
class Language:
    """A channel's vocabulary, with Zipf's frequencies."""

    words: list[str] = field(default_factory=list)
    weights: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @classmethod
    def made(cls, random: Generator) -> Language:
        found: set[str] = set()
        while len(found) < VOCABULARY:
            syllables = random.integers(1, 4)
            found.add("".join(random.choice(list(CONSONANTS)) + random.choice(list(VOWELS)) for _ in range(syllables)))
            found.add(random.choice(list(CONSONANTS)) + random.choice(list(VOWELS)) + random.choice(list("nrst")))
        words = sorted(found)
        random.shuffle(words)
        weights = 1.0 / (np.arange(len(words)) + 3.0)
        return cls(words, weights / weights.sum())

    def draw(self, random: Generator, count: int, topic: NDArray[np.int64], share: float) -> list[int]:
        plain = random.choice(len(self.words), size=count, p=self.weights)
        topical = random.choice(topic, size=count)
        return [int(value) for value in np.where(random.random(count) < share, topical, plain)]


def simulate_recording(language: Language, random: Generator, duration_s: float) -> SimulatedRecording:
    """Several voices over stretches of speech, with pauses, silences, loud moments, and sounds that mean nothing."""
    frames = round(duration_s / FRAME_S)
    activity, loudness = np.zeros(frames), random.normal(-48.0, 2.0, frames)
    words: list[Word] = []
    said: list[Word] = []
    voices = [(random.uniform(2.0, 3.4), random.normal(-24.0, 3.0)) for _ in range(random.integers(2, 5))]
    time, topic_until = 0.0, 0.0
    topic = np.zeros(0, dtype=np.int64)
    while time < duration_s:
        if time >= topic_until:
            topic = random.integers(100, len(language.words), TOPIC_WORDS)
            topic_until = time + random.uniform(240, 720)
        rate, level = voices[random.integers(len(voices))]
        length = min(random.exponential(14.0) + 1.5, duration_s - time)
        span = slice(round(time / FRAME_S), round((time + length) / FRAME_S))
        activity[span] = 1.0
        loudness[span] = random.normal(level, 3.5, loudness[span].size)
        for at, index in enumerate(language.draw(random, int(length * rate), topic, 0.25)):
            begin = time + at / rate
            heard = random.integers(len(language.words)) if random.random() < ASR_ERRORS else index
            said.append(Word(language.words[index], begin, begin + 0.8 / rate))
            words.append(Word(language.words[heard], begin, begin + 0.8 / rate))
        time += length + (random.uniform(60, 240) if random.random() < 0.01 else random.exponential(3.0) + 0.3)
    events = np.sort(random.uniform(0, duration_s, random.poisson(duration_s / 75)))
    for event in np.concatenate([events, random.uniform(0, duration_s, random.poisson(duration_s / 200))]):
        span = slice(round(event / FRAME_S), round((event + random.uniform(1.5, 6)) / FRAME_S))
        loudness[span] += random.uniform(6, 14)
    return SimulatedRecording(duration_s, activity, loudness, words, said, events)


def simulate_clock(random: Generator, duration_s: float) -> TrueClock:
    """One to three steps, at least `STEP_SPACING_S` from each other and from the ends."""
    count = int(random.integers(1, 4))
    slack = duration_s - STEP_SPACING_S * (count + 1)
    places = np.sort(random.uniform(0, slack, count)) + STEP_SPACING_S * (1 + np.arange(count))
    offsets = [float(random.uniform(-MAX_OFFSET_S, MAX_OFFSET_S))]
    while len(offsets) <= count:
        moved = offsets[-1] + random.uniform(*STEP_S) * random.choice([-1, 1])
        if abs(moved) <= MAX_OFFSET_S:
            offsets.append(float(moved))
    return TrueClock([float(place) for place in places], offsets, float(random.uniform(-MAX_DRIFT_PPM, MAX_DRIFT_PPM)))


def simulate_chat(
    recording: SimulatedRecording, language: Language, clock: TrueClock, random: Generator, quotes: float
) -> list[ChatMessage]:
    """Answers and quotes, bursts after loud moments, spam, silences, and `NOISE` of all messages unrelated.

    `quotes` is the share of answers that have a word or two of what was just said.
    """
    authors = [f"viewer{number}" for number in range(int(random.integers(30, 400)))]
    lag_shape = random.uniform(1.4, 2.6), random.uniform(2.5, 5.0)
    rate = random.uniform(8, 30) / 60

    def lagged(at: float) -> float:
        return at + LAG_S[0] + (LAG_S[1] - LAG_S[0]) * random.beta(*lag_shape)

    related: list[tuple[float, str]] = []
    for _ in range(random.poisson(rate * recording.duration_s * 0.7)):
        at = int(random.integers(len(recording.said)))
        related.append((lagged(recording.said[at].end_s), _reaction(recording.said, at, language, random, quotes)))
    for event in recording.events_s:
        if random.random() < 0.8:
            burst = random.poisson(rate * random.uniform(10, 40))
            related += [(lagged(event), str(random.choice(SHOUTS))) for _ in range(burst)]
    timed = [(clock.chat_s(at), text) for at, text in related]
    kept = [(at, text) for at, text in timed if at is not None]
    end = recording.duration_s - clock.offsets_s[-1]
    unrelated = round(len(kept) * NOISE / (1 - NOISE))
    kept += _noise(language, random, unrelated, -clock.offsets_s[0], end)
    silences = [(begin, begin + random.uniform(60, 300)) for begin in random.uniform(0, end, 3)]
    audible = [(at, text) for at, text in kept if not any(a <= at < b for a, b in silences)]
    return [ChatMessage(at, str(random.choice(authors)), text) for at, text in sorted(audible)]


def _reaction(said: list[Word], at: int, language: Language, random: Generator, quotes: float) -> str:
    """A quote or answer with a word or two of what was just said, or a comment without any of it."""
    filler = [language.words[i] for i in random.choice(len(language.words), 3, p=language.weights)]
    if random.random() >= quotes:
        return " ".join([*filler, str(random.choice(SHOUTS))] if random.random() < 0.5 else filler)
    recent = said[max(0, at - 6) : at + 1]
    quoted = random.choice(len(recent), size=min(len(recent), int(random.integers(1, 3))), replace=False)
    return " ".join([*(recent[index].text for index in sorted(quoted)), *filler[: random.integers(0, 3)]])


def _noise(language: Language, random: Generator, count: int, begin: float, end: float) -> list[tuple[float, str]]:
    """Talk about other things, a bot every ten minutes, and copypasta that spreads within a minute."""
    messages = [(at, "follow me on the socials !discord") for at in np.arange(begin + 30, end, 600.0)]
    while len(messages) < count:
        at = float(random.uniform(begin, end))
        length = int(random.integers(1, 9))
        text = " ".join(language.words[i] for i in random.choice(len(language.words), length, p=language.weights))
        copies = int(random.integers(5, 15)) if random.random() < 0.01 else 1
        messages += [(at + random.uniform(0, 60) * (copies > 1), text) for _ in range(copies)]
    return messages[:count]
