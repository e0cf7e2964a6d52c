"""What is kept of live streams between two calls: the last hypothesis of an utterance, and what was said before it.

Moonshine recognises a short utterance better behind the one before it: `As not.` becomes `Ask not.` behind `And so my
fellow Americans.` (benchmarks.embedded: half of the errors of live streams). So the audio of earlier utterances of the
stream goes before that of the present one, and their tokens are forced.
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

BUDGET = 8 * SAMPLE_RATE
"""Samples of an utterance and its context together. More context costs more and was not seen to help; an utterance that
is as long as this by itself needs none."""


@dataclass(frozen=True, slots=True)
class ContextualInput:
    """What the model gets for a piece of work."""

    audio: Audio
    draft: Draft


@dataclass(frozen=True, slots=True, eq=False)
class _Said:
    audio: Audio
    tokens: Ids


class StreamContext:
    """Keeps at most `BUDGET` samples for each stream, and the tokens of one hypothesis for each utterance."""

    def __init__(self) -> None:
        self._hypotheses: dict[str, Ids] = {}
        self._said: dict[str, deque[_Said]] = {}

    def prompted(self, work: Recognize, vocabulary: Vocabulary) -> ContextualInput:
        """`work` with the draft and the context that there are for it."""
        tokens = self._hypotheses.get(work.utterance, ()) if work.utterance is not None else ()
        forced = vocabulary.covered(tokens, work.stable) if work.stable else 0
        before = self._before(work)
        if not before:
            return ContextualInput(work.audio, Draft(tokens, forced))
        lead = tuple(token for said in before for token in said.tokens)
        return ContextualInput(
            np.concatenate([*(said.audio for said in before), work.audio]), Draft(tokens, forced, lead)
        )

    def keep(self, work: Recognize, tokens: Ids, *, is_good: bool) -> None:
        """Note the hypothesis of `work`. `is_good`: whether a final may be the context of what follows."""
        if work.utterance is None:
            return
        if not work.final:
            self._hypotheses[work.utterance] = tokens
            return
        self.forget(work.utterance)
        if work.stream is None or len(work.audio) > BUDGET:
            self._said.pop(work.stream or "", None)
        elif is_good:
            said = self._said.setdefault(work.stream, deque())
            said.append(_Said(work.audio, tokens))
            while sum(len(each.audio) for each in said) > BUDGET:
                said.popleft()

    def forget(self, key: str) -> None:
        """Drop what is kept of an utterance or a stream. Unknown keys are fine."""
        self._hypotheses.pop(key, None)
        self._said.pop(key, None)

    def clear(self) -> None:
        self._hypotheses.clear()
        self._said.clear()

    def _before(self, work: Recognize) -> list[_Said]:
        """The last utterances of the stream, as many as fit."""
        room = BUDGET - len(work.audio)
        fitting: list[_Said] = []
        for said in reversed(self._said.get(work.stream, ()) if work.stream is not None else ()):
            room -= len(said.audio)
            if room < 0:
                break
            fitting.insert(0, said)
        return fitting
