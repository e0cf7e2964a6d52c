"""What judges pauses: the sound, the words before them in English, and the recogniser's own punctuation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from steno.turn_detection.sentence_end import LANGUAGE, SentenceEnds
from steno.turn_detection.smart_turn import SmartTurn
from steno.turn_detection.turn_probability import Evidence, turn_probability

if TYPE_CHECKING:
    from steno.types import Audio, Hypothesis


class TurnDetector(Protocol):
    """Judges whether the speaker has finished. Calls may run in several threads at once."""

    def completeness(self, audio: Audio) -> float:
        """How complete an utterance sounds, in [0, 1]; `audio`: all of it, up to a pause."""

    def probability(self, completeness: float, hypothesis: Hypothesis | None) -> float:
        """The probability that an utterance is complete, from its sound and, if it was recognised, its text."""


class TurnJudge:
    """The `TurnDetector` of Smart Turn and, if there is a text, of its punctuation; in English, of its words too."""

    def __init__(self) -> None:
        self._sound = SmartTurn()
        self._words = SentenceEnds()

    def completeness(self, audio: Audio) -> float:
        return self._sound.completeness(audio)

    def probability(self, completeness: float, hypothesis: Hypothesis | None) -> float:
        if hypothesis is None:
            return turn_probability(Evidence(completeness))
        words = self._words.log_odds(hypothesis.text) if hypothesis.language == LANGUAGE else None
        return turn_probability(Evidence(completeness, hypothesis.sentence_end, words))
