"""A turn of Deepgram Flux: what was said from its first word until its end. A turn may have several segments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from steno.captions.script import joined
from steno.server.live.dialects.base import Message
from steno.server.live.dialects.event_words import words_of_event
from steno.server.live.dialects.frames import rounded
from steno.streaming.events import Final, Partial
from steno.types import Word


@dataclass(slots=True)
class FluxTurn:
    """The current turn. `index` counts from 0."""

    index: int = 0
    hints: tuple[str, ...] = ()
    """Languages that the client expects."""
    tells_languages: bool = False
    """Whether its messages list the languages that were spoken."""
    start_s: float | None = None
    """Where its first segment with text begins; None = nothing has been said."""
    is_told: bool = False
    """Whether the client knows of it."""
    is_eager: bool = False
    """Whether the client was told that it has probably ended."""
    texts: list[str] = field(default_factory=list)
    """Texts of its segments that are over: a long segment is cut, and the turn goes on."""
    words: list[Word] = field(default_factory=list)
    words_by_language: Counter[str] = field(default_factory=Counter)
    partial: Partial | None = None
    """The text of its open segment."""

    def began(self, start_s: float) -> None:
        """A segment starts. No-op in the middle of a turn."""
        if self.start_s is None:
            self.start_s = start_s

    def add(self, final: Final) -> None:
        """A segment of it is over."""
        self.partial = None
        if final.text:
            self.texts.append(final.text)
            self.words += words_of_event(final)
            self.words_by_language += _counted(final)

    @property
    def has_text(self) -> bool:
        return bool(self.texts)

    def described(self, event: str, end_s: float, confidence: float) -> Message:
        """A `TurnInfo`, without what it shares with other messages.

        Args:
            end_s: end of the audio that the text is of.
            confidence: probability that the turn is complete.
        """
        start = rounded(self.start_s if self.start_s is not None else end_s)
        texts, words, spoken = self.texts, self.words, self.words_by_language
        if self.partial is not None:
            texts, words = [*texts, self.partial.text], [*words, *words_of_event(self.partial)]
            spoken = spoken + _counted(self.partial)
        return {
            "type": "TurnInfo",
            "event": event,
            "turn_index": self.index,
            "audio_window_start": start,
            "audio_window_end": max(rounded(end_s), start),
            "transcript": joined(texts),
            "words": [_wire(word) for word in words],
            "end_of_turn_confidence": round(confidence, 4),
            **self._languages(spoken),
        }

    def _languages(self, spoken: Counter[str]) -> Mapping[str, list[str]]:
        told = {
            "languages": [name for name, _ in spoken.most_common()] if self.tells_languages else [],
            "languages_hinted": [*self.hints],
        }
        return {name: languages for name, languages in told.items() if languages}


def _counted(event: Partial | Final) -> Counter[str]:
    return Counter({event.language: len(words_of_event(event))}) if event.language else Counter()


def _wire(word: Word) -> Message:
    return {
        "word": word.text,
        "confidence": round(1.0 if word.confidence is None else word.confidence, 4),
        "start": rounded(word.start_s),
        "end": rounded(word.end_s),
    }
