"""A small recording with a chat that answers it, for tests of the clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from steno.archive.chat.chat_message import ChatMessage
from steno.archive.chat.recording_track import RecordingTrack
from steno.types import Word

FRAME_S = 0.25
DURATION_S = 1800.0


@dataclass(frozen=True, slots=True)
class Step:
    """From second `at_s` of the chat on, the recording is `offset_s` ahead of it."""

    at_s: float
    offset_s: float


def track(seed: int, duration_s: float = DURATION_S) -> RecordingTrack:
    """Speech with pauses: two words a second out of 1500, some far more frequent than others."""
    random = np.random.default_rng(seed)
    times = np.arange(1.0, duration_s - 2, 0.5)
    pauses = np.sort(random.uniform(0, duration_s, round(duration_s / 15)))
    since = times - pauses[np.maximum(np.searchsorted(pauses, times) - 1, 0)]
    times = times[(since < 0) | (since > random.exponential(4.0, len(pauses))[np.searchsorted(pauses, times) - 1])]
    texts = [f"word{index}" for index in np.minimum(random.zipf(1.35, len(times)), 1500)]
    words = [Word(text, float(at), float(at) + 0.4) for text, at in zip(texts, times, strict=True)]
    activity = np.zeros(round(duration_s / FRAME_S))
    activity[(times / FRAME_S).astype(int)] = 1.0
    return RecordingTrack(duration_s, FRAME_S, activity, -50.0 + 25.0 * activity, words)


def chat_about(recording: RecordingTrack, steps: list[Step], seed: int, count: int = 400) -> list[ChatMessage]:
    """Half of the messages quote a word after 2 to 10 s, the other half say something of their own at any time."""
    random = np.random.default_rng(seed)
    messages = []
    for number in range(count):
        at = random.uniform(0, recording.duration_s)
        text = f"word{min(int(random.zipf(1.35)), 1500)} indeed"
        if number % 2:
            word = recording.words[int(random.integers(len(recording.words)))]
            at = word.end_s + 2.0 + 8.0 * random.beta(1.5, 3)
            text = f"{word.text} haha"
        messages.append(ChatMessage(_chat_s(at, steps, random), f"viewer{number % 50}", text))
    return sorted(messages, key=lambda message: message.time_s)


def _chat_s(recording_s: float, steps: list[Step], random: Generator) -> float:
    possible = []
    for at, step in enumerate(steps):
        time = recording_s - step.offset_s
        if (at == 0 or time >= step.at_s) and (at + 1 == len(steps) or time < steps[at + 1].at_s):
            possible.append(time)
    return float(random.choice(possible)) if possible else steps[-1].at_s
