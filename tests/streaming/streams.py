"""A stream without a model: a script says where speech is, and an oracle says what is heard in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steno.errors import BackendError
from steno.streaming.events import Event, Final, Silence
from steno.streaming.session import Session
from steno.streaming.session_config import SessionConfig
from steno.streaming.step_request import StepRequest
from steno.types import SAMPLE_RATE, Hypothesis

if TYPE_CHECKING:
    from steno.types import Audio

LOUD, QUIET = np.float32(0.5), np.float32(0.0)


def audio_of(*stretches: tuple[str, float]) -> Audio:
    """`("speech", 2.0), ("silence", 1.0)`: seconds of each; speech is loud, silence is nothing."""
    levels = {"speech": LOUD, "silence": QUIET}
    return np.concatenate([np.full(round(seconds * SAMPLE_RATE), levels[kind]) for kind, seconds in stretches])


def probabilities_of(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a perfect VAD says of such audio."""
    return (np.abs(frames).mean(axis=1) > LOUD / 2).astype(np.float32)


def heard_in(step: StepRequest) -> Hypothesis:
    """One word for each half second."""
    return Hypothesis(" ".join(f"w{n}" for n in range(int(len(step.audio) / SAMPLE_RATE / 0.5))), "en")


class Stream:
    """A session with its VAD and its recogniser, driven step by step; keeps all events."""

    def __init__(
        self, config: SessionConfig | None = None, recognise: Callable[[StepRequest], Hypothesis] = heard_in
    ) -> None:
        self.session = Session(config)
        self.events: list[Event] = []
        self.steps: list[StepRequest] = []
        self._recognise = recognise

    def hear(self, audio: Audio) -> None:
        frames = self.session.feed(audio)
        self.events += self.session.observe(probabilities_of(frames), np.full(len(frames), -20, np.float32))

    def recognise(self, *, fails: bool = False) -> None:
        for step in self.session.due():
            self.steps.append(step)
            if fails:
                self.events += self.session.fail(step, BackendError("it failed"))
            else:
                self.events += self.session.apply(step, self._recognise(step))

    def run(self, audio: Audio, sizes: Iterable[int]) -> None:
        """Feed `audio` in parts of `sizes` samples, the last of which goes on."""
        rest = audio
        size = len(audio)
        for size in sizes:
            self._feed(rest[:size])
            rest = rest[size:]
        while len(rest):
            self._feed(rest[:size])
            rest = rest[size:]

    def end(self) -> None:
        self.events += self.session.finish()
        self.recognise()

    def of(self, *kinds: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def finals(self) -> list[Final]:
        return [event for event in self.events if isinstance(event, Final)]

    def tiles(self) -> list[tuple[float, float]]:
        return [(event.start_s, event.end_s) for event in self.events if isinstance(event, Final | Silence)]

    def _feed(self, audio: Audio) -> None:
        self.hear(audio)
        self.recognise()


def assert_tiled(tiles: list[tuple[float, float]], begin_s: float, end_s: float) -> None:
    """From `begin_s` to `end_s`, in order, without a gap, without an overlap."""
    at = begin_s
    for start_s, stop_s in tiles:
        assert start_s == at
        assert stop_s >= start_s
        at = stop_s
    assert at == end_s
