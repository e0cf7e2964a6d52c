"""What judges pauses: the recogniser itself or, if it can't, their sound; and the words before them in English."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from steno.turn_detection.sentence_end import LANGUAGE, SentenceEnds
from steno.turn_detection.smart_turn import SmartTurn
from steno.turn_detection.turn_probability import by_recogniser, by_sound

if TYPE_CHECKING:
    from steno.types import Audio, Hypothesis


class TurnDetector(Protocol):
    """Judges whether the speaker has finished. Calls may run in several threads at once."""

    def completeness(self, audio: Audio) -> float:
        """How complete an utterance sounds, in [0, 1]; `audio`: all of it, up to a pause."""

    def probability(self, hypothesis: Hypothesis | None, completeness: float | None) -> float:
        """The probability that an utterance is complete, from what was recognised, if it was, and its `completeness`:
        None if it does not need to be judged by its sound."""


def needs_sound(hypothesis: Hypothesis | None) -> bool:
    """Whether a pause is judged by its sound, because the recogniser did not judge it."""
    return hypothesis is None or hypothesis.sentence_end is None


class TurnJudge:
    """The `TurnDetector` of the recogniser or Smart Turn, and in English of the words too. Smart Turn is loaded when it
    is needed, in 0.1 s."""

    def __init__(self) -> None:
        self._words = SentenceEnds()
        self._sound: SmartTurn | None = None
        self._loading = threading.Lock()

    def completeness(self, audio: Audio) -> float:
        with self._loading:
            if self._sound is None:
                self._sound = SmartTurn()
        return self._sound.completeness(audio)

    def probability(self, hypothesis: Hypothesis | None, completeness: float | None) -> float:
        words = None
        if hypothesis is not None and hypothesis.language == LANGUAGE:
            words = self._words.log_odds(hypothesis.text)
        if completeness is not None:
            return by_sound(completeness, words)
        assert hypothesis is not None
        assert hypothesis.sentence_end is not None
        return by_recogniser(hypothesis.sentence_end, words)
