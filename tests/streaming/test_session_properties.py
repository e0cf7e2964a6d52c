"""Whatever the client sends and in whatever order results come: nothing raises, nothing is lost, all is in order."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from steno.errors import BackendError
from steno.streaming.events import Event, Final, Partial, Silence
from steno.streaming.session import Session
from steno.streaming.session_config import SessionConfig
from steno.streaming.step_request import StepRequest
from steno.types import SAMPLE_RATE
from steno.vad.config import SegmenterConfig
from streaming.streams import Stream, assert_tiled, audio_of, heard_in, probabilities_of

SHORT = SessionConfig(SegmenterConfig(search_from_s=3.0, max_s=4.0))
"""Segments of at most four seconds, so that there are many."""

STRETCHES = st.lists(st.tuples(st.sampled_from(["speech", "silence"]), st.floats(0.01, 6.0)), min_size=1, max_size=6)


SIZES = st.tuples(st.lists(st.integers(1, 9000), max_size=40), st.integers(256, 9000)).map(
    lambda both: [*both[0], both[1]]
)
"""Sizes of parts in samples. The last one is that of all further parts: a hundred thousand single samples are slow."""


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(STRETCHES, SIZES)
def test_any_split_of_the_audio_gives_the_same_finals(stretches: list[tuple[str, float]], sizes: list[int]) -> None:
    audio = audio_of(*stretches)
    whole, split = (Stream(SHORT) for _ in range(2))
    for stream, parts in ((whole, [len(audio)]), (split, sizes)):
        stream.run(audio, parts)
        stream.end()
    assert split.finals == whole.finals
    assert_tiled(split.tiles(), 0.0, len(audio) / SAMPLE_RATE)


class Client(RuleBasedStateMachine):
    """A client, a VAD and a recogniser, each with a will of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(SHORT)
        self.unheard: list[np.ndarray] = []
        self.under_way: list[StepRequest] = []
        self.events: list[Event] = []
        self.fed = 0
        self.flushes = 0

    @rule(speech=st.booleans(), seconds=st.floats(0.0, 3.0))
    def feed(self, speech: bool, seconds: float) -> None:
        audio = audio_of(("speech" if speech else "silence", seconds))
        self.fed += len(audio)
        self.unheard.append(self.session.feed(audio))

    @rule(frames=st.integers(1, 120))
    def observe(self, frames: int) -> None:
        waiting = np.concatenate([np.zeros((0, 512), np.float32), *self.unheard])
        heard, rest = waiting[:frames], waiting[frames:]
        self.unheard = [rest]
        self.take(self.session.observe(probabilities_of(heard), np.full(len(heard), -20, np.float32)))

    @rule()
    def due(self) -> None:
        self.under_way += self.session.due()

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), fails=st.booleans())
    def result(self, data: st.DataObject, fails: bool) -> None:
        step = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        if fails:
            self.take(self.session.fail(step, BackendError("it failed")))
        else:
            self.take(self.session.apply(step, heard_in(step)))

    @rule()
    def flush(self) -> None:
        self.flushes += 1
        self.take(self.session.flush())

    @rule()
    def reset(self) -> None:
        self.take(self.session.reset())

    @rule(endpointing=st.booleans())
    def configure(self, endpointing: bool) -> None:
        silence_ms = 500 if endpointing else 3_600_000
        self.take(
            self.session.configure(SessionConfig(SegmenterConfig(search_from_s=3.0, max_s=4.0, silence_ms=silence_ms)))
        )

    def take(self, events: list[Event]) -> None:
        self.events += events

    @invariant()
    def finals_are_in_order_and_once(self) -> None:
        at = 0.0
        for event in self.events:
            if isinstance(event, Final | Silence):
                assert event.start_s == at
                at = event.end_s
        ids = [event.segment_id for event in self.events if isinstance(event, Final)]
        assert len(ids) == len(set(ids))

    @invariant()
    def stable_text_is_never_revised(self) -> None:
        stable: dict[int, str] = {}
        for event in self.events:
            if isinstance(event, Partial):
                assert event.stable.startswith(stable.get(event.segment_id, ""))
                stable[event.segment_id] = event.stable
            elif isinstance(event, Final):
                assert event.text.startswith(stable.pop(event.segment_id, ""))

    def teardown(self) -> None:
        self.observe(10**9)
        self.take(self.session.finish())
        for step in [*self.under_way, *self.session.due()]:
            self.take(self.session.apply(step, heard_in(step)))
        self.finals_are_in_order_and_once()
        self.stable_text_is_never_revised()
        tiles = [(event.start_s, event.end_s) for event in self.events if isinstance(event, Final | Silence)]
        assert_tiled(tiles, 0.0, self.fed / SAMPLE_RATE)
        assert self.session.settled
        assert sum(event.reason == "flush" for event in self.events if isinstance(event, Final)) == self.flushes


TestClient = Client.TestCase
TestClient.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_the_audio_of_steps_is_the_audio_that_was_fed() -> None:
    rng = np.random.default_rng(7)
    audio = rng.uniform(0.4, 0.6, 20 * SAMPLE_RATE).astype(np.float32)
    stream = Stream(SHORT)
    stream.run(audio, [1234])
    stream.end()
    finals = [step for step in stream.steps if step.final]
    assert np.array_equal(np.concatenate([step.audio for step in finals]), audio)
