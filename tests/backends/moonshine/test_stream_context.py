"""What is kept of live streams, how much of it, and what it is good for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from held_memory import held_bytes
from steno.backends.base import Recognize
from steno.backends.moonshine.backend import MoonshineBackend
from steno.backends.moonshine.stream_context import MAX_SAMPLES, StreamContext
from steno.backends.moonshine.vocabulary import Vocabulary
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

VOCABULARY = Vocabulary([b"<unk>", b"<s>", b"</s>", b" one", b" two", b" three"])
ONE, TWO, THREE = 3, 4, 5


def work(seconds: float, value: float, utterance: str, *, stream: str | None = "s", final: bool = True) -> Recognize:
    audio = np.full(round(seconds * SAMPLE_RATE), value, np.float32)
    return Recognize(audio, utterance=utterance, stream=stream, final=final)


def test_an_utterance_goes_behind_those_before_it_as_far_as_they_fit() -> None:
    context = StreamContext()
    for n, (seconds, token) in enumerate(((4.0, ONE), (2.0, TWO), (2.0, THREE))):
        context.store(work(seconds, n + 1, f"s/{n}"), (token,), is_reliable=True)
    with_context = context.with_context(work(3.0, 9, "s/3", final=False), VOCABULARY)
    assert with_context.draft.lead == (TWO, THREE)
    assert len(with_context.audio) == 7 * SAMPLE_RATE
    assert [with_context.audio[round(at * SAMPLE_RATE)] for at in (0, 2, 4, 6.9)] == [2, 3, 9, 9]
    longer = context.with_context(work(5.0, 9, "s/3", final=False), VOCABULARY)
    assert longer.draft.lead == (THREE,), "as the utterance grows, the oldest context goes first"
    assert context.with_context(work(8.0, 9, "s/3", final=False), VOCABULARY).draft.lead == ()


def test_streams_do_not_mix_and_what_stands_alone_has_no_context() -> None:
    context = StreamContext()
    context.store(work(1.0, 1, "s/0"), (ONE,), is_reliable=True)
    assert context.with_context(work(1.0, 9, "t/0", stream="t"), VOCABULARY).draft.lead == ()
    assert context.with_context(Recognize(np.ones(100, np.float32)), VOCABULARY).draft.lead == ()
    assert context.with_context(work(1.0, 9, "s/1"), VOCABULARY).draft.lead == (ONE,)


def test_a_final_that_may_be_noise_is_no_context() -> None:
    context = StreamContext()
    context.store(work(1.0, 1, "s/0"), (ONE,), is_reliable=False)
    assert context.with_context(work(1.0, 9, "s/1"), VOCABULARY).draft.lead == ()


def test_no_more_is_kept_of_a_stream_than_can_be_of_use() -> None:
    context = StreamContext()
    empty = held_bytes(context)
    for n in range(50):
        context.store(work(1.0, n, f"s/{n}"), (ONE,), is_reliable=True)
    assert held_bytes(context) < empty + 1.1 * MAX_SAMPLES * 4
    context.store(work(10.0, 1, "s/50"), (TWO,), is_reliable=True)
    assert context.with_context(work(0.5, 9, "s/51"), VOCABULARY).draft.lead == (), "what lies further back is too far"


def test_a_forgotten_stream_or_utterance_leaves_nothing() -> None:
    context = StreamContext()
    context.store(work(1.0, 1, "s/0"), (ONE,), is_reliable=True)
    context.store(work(1.0, 1, "s/1", final=False), (TWO,), is_reliable=True)
    assert context.with_context(work(1.5, 1, "s/1", final=False), VOCABULARY).draft.tokens == (TWO,)
    for key in ("s/1", "s", "unknown"):
        context.forget(key)
    with_context = context.with_context(work(1.5, 1, "s/1", final=False), VOCABULARY)
    assert (with_context.draft.tokens, with_context.draft.lead) == ((), ())
    assert held_bytes(context) <= held_bytes(StreamContext()) + 500


async def test_behind_what_was_said_before_a_short_utterance_is_surer(
    backend: MoonshineBackend, speech: dict[str, Audio]
) -> None:
    parts = [speech["beckett"][round(a * 16_000) : round(b * 16_000)] for a, b in ((4.7, 6.11), (6.36, 7.9))]
    alone = await backend.recognize(Recognize(parts[1], utterance="a/0"))
    first = await backend.recognize(Recognize(parts[0], utterance="b/0", stream="b"))
    behind = await backend.recognize(Recognize(parts[1], utterance="b/1", stream="b"))
    backend.forget("b")
    assert first.text == "Try again."
    assert behind.text == "Fail again."
    assert behind.confidence is not None
    assert alone.confidence is not None
    assert behind.confidence > alone.confidence + 0.1
    assert behind.scores[-1].end == len(behind.text), "the context is not in the result"


def test_a_final_of_an_utterance_that_goes_on_is_its_draft_and_no_context() -> None:
    context = StreamContext()
    context.store(work(2.0, 1, "s/0"), (ONE,), is_reliable=True)
    context.store(work(2.0, 2, "s/1"), (TWO,), is_reliable=True)
    longer = context.with_context(work(3.0, 2, "s/1", final=False), VOCABULARY)
    assert (longer.draft.lead, longer.draft.tokens) == ((ONE,), (TWO,))
    assert len(longer.audio) == 5 * SAMPLE_RATE
    context.store(work(4.0, 2, "s/1"), (TWO, THREE), is_reliable=True)
    assert context.with_context(work(1.0, 3, "s/2", final=False), VOCABULARY).draft.lead == (ONE, TWO, THREE)
