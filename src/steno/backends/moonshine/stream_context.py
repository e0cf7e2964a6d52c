"""Cache of live streams: the last hypothesis of each utterance, and earlier utterances as context.

Moonshine recognises a short utterance better with the one before it as context: `As not.` becomes `Ask not.` after `And
so my fellow Americans.` (benchmarks.embedded: half of the errors of live streams). So the audio of the stream's earlier
utterances is prepended to the current one, and their tokens are forced.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from steno.backends.moonshine.decoding import Draft
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.base import Recognize
    from steno.backends.drafts import Ids
    from steno.backends.moonshine.vocabulary import Vocabulary
    from steno.types import Audio

MAX_SAMPLES = 8 * SAMPLE_RATE
"""Max samples of an utterance and its context together. More context costs time and did not reduce errors; an utterance
of this length needs none."""


@dataclass(frozen=True, slots=True)
class ContextualInput:
    """The model's input for a piece of work."""

    audio: Audio
    draft: Draft


@dataclass(frozen=True, slots=True, eq=False)
class _EarlierUtterance:
    audio: Audio
    tokens: Ids
    utterance: str


class StreamContext:
    """Holds at most `MAX_SAMPLES` samples per stream, and the tokens of one hypothesis per utterance."""

    def __init__(self) -> None:
        self._hypotheses: dict[str, Ids] = {}
        self._earlier: dict[str, deque[_EarlierUtterance]] = {}

    def with_context(self, work: Recognize, vocabulary: Vocabulary) -> ContextualInput:
        """The input for `work`, with its draft and context, if any."""
        self._withdraw(work)
        tokens = self._hypotheses.get(work.utterance, ()) if work.utterance is not None else ()
        forced = vocabulary.covered(tokens, work.stable) if work.stable else 0
        context = self._fitting_context(work)
        if not context:
            return ContextualInput(work.audio, Draft(tokens, forced))
        lead = tuple(token for earlier in context for token in earlier.tokens)
        return ContextualInput(
            np.concatenate([*(earlier.audio for earlier in context), work.audio]), Draft(tokens, forced, lead)
        )

    def store(self, work: Recognize, tokens: Ids, *, is_reliable: bool) -> None:
        """Store the hypothesis of `work`. `is_reliable`: whether a final may become context."""
        if work.utterance is None:
            return
        if not work.final:
            self._hypotheses[work.utterance] = tokens
            return
        self.forget(work.utterance)
        if work.stream is None or len(work.audio) > MAX_SAMPLES:
            self._earlier.pop(work.stream or "", None)
        elif is_reliable:
            earlier = self._earlier.setdefault(work.stream, deque())
            earlier.append(_EarlierUtterance(work.audio, tokens, work.utterance))
            while sum(len(one.audio) for one in earlier) > MAX_SAMPLES:
                earlier.popleft()

    def forget(self, key: str) -> None:
        """Drop the cache of an utterance or a stream. No-op for unknown keys."""
        self._hypotheses.pop(key, None)
        self._earlier.pop(key, None)

    def clear(self) -> None:
        self._hypotheses.clear()
        self._earlier.clear()

    def _withdraw(self, work: Recognize) -> None:
        """What was stored as final of an utterance that goes on is no context for it. Its tokens are its next draft."""
        earlier = self._earlier.get(work.stream, ()) if work.stream is not None else ()
        if earlier and work.utterance is not None and earlier[-1].utterance == work.utterance:
            self._hypotheses[work.utterance] = earlier.pop().tokens

    def _fitting_context(self, work: Recognize) -> list[_EarlierUtterance]:
        """The last utterances of the stream that fit into the budget."""
        free = MAX_SAMPLES - len(work.audio)
        fitting: list[_EarlierUtterance] = []
        for earlier in reversed(self._earlier.get(work.stream, ()) if work.stream is not None else ()):
            free -= len(earlier.audio)
            if free < 0:
                break
            fitting.insert(0, earlier)
        return fitting
