"""What judges pauses: the recogniser itself or, if it can't, their sound; and the words before them in English."""

from __future__ import annotations

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
        """The probability that an utterance is complete, from what was recognised, if it was, and its `completeness`,
        which is needed if the hypothesis has no `sentence_end`."""


class TurnJudge:
    """The `TurnDetector` of the recogniser or Smart Turn, and in English of the words too."""

    def __init__(self) -> None:
        self._sound = SmartTurn()
        self._words = SentenceEnds()

    def completeness(self, audio: Audio) -> float:
        return self._sound.completeness(audio)

    def probability(self, hypothesis: Hypothesis | None, completeness: float | None) -> float:
        words = None
        if hypothesis is not None and hypothesis.language == LANGUAGE:
            words = self._words.log_odds(hypothesis.text)
        if hypothesis is not None and hypothesis.sentence_end is not None:
            return by_recogniser(hypothesis.sentence_end, words)
        assert completeness is not None
        return by_sound(completeness, words)
