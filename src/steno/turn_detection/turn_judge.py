"""What judges pauses: the sound and, in English, the words before them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from steno.turn_detection.sentence_end import LANGUAGE, SentenceEnds
from steno.turn_detection.smart_turn import SmartTurn
from steno.turn_detection.turn_probability import by_sound, by_sound_and_words

if TYPE_CHECKING:
    from steno.types import Audio, Hypothesis


class TurnDetector(Protocol):
    """Judges whether the speaker has finished. Calls may run in several threads at once."""

    def completeness(self, audio: Audio) -> float:
        """How complete an utterance sounds, in [0, 1]; `audio`: all of it, up to a pause."""

    def probability(self, completeness: float, hypothesis: Hypothesis | None) -> float:
        """The probability that an utterance is complete, from its sound and, if it was recognised, its text."""


class TurnJudge:
    """The `TurnDetector` of Smart Turn and `SentenceEnds`. In other languages than English, the sound decides alone."""

    def __init__(self) -> None:
        self._sound = SmartTurn()
        self._words = SentenceEnds()

    def completeness(self, audio: Audio) -> float:
        return self._sound.completeness(audio)

    def probability(self, completeness: float, hypothesis: Hypothesis | None) -> float:
        if hypothesis is not None and hypothesis.language == LANGUAGE:
            log_odds = self._words.log_odds(hypothesis.text)
            if log_odds is not None:
                return by_sound_and_words(completeness, *log_odds)
        return by_sound(completeness)
