"""Events of a live stream. Times are seconds from the start of the stream's audio, plus its `offset_s`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from steno.errors import StenoError
from steno.types import Word


@dataclass(frozen=True, slots=True)
class Partial:
    """The text of an open segment so far.

    `stable` is never revised while the connection lasts; `draft` may be. After a lost connection the segment is
    recognised again, under the same id.
    """

    segment_id: int
    start_s: float
    end_s: float
    """End of the recognised audio."""
    stable: str
    draft: str
    language: str | None = None

    @property
    def text(self) -> str:
        return self.stable + self.draft


@dataclass(frozen=True, slots=True)
class Final:
    """A segment's final text; one per segment, never revised. Empty if there was no speech."""

    segment_id: int
    """Increases over all connections."""
    start_s: float
    end_s: float
    text: str
    language: str | None = None
    confidence: float | None = None
    words: tuple[Word, ...] = ()
    """Word times, if requested."""
    translation: str | None = None
    """Translated text, if requested; None if translation failed."""
    caption: str | None = None
    """The next cues of a subtitle file, if requested. All captions of a stream, joined, are the file."""
    error: StenoError | None = None
    """Why recognition failed; `text` then is only the stable text."""


Event: TypeAlias = Partial | Final


def partial_of(message: Mapping[str, Any], first_id: int) -> Partial:
    """Parse a server's message; ids are offset by `first_id`."""
    return Partial(
        segment_id=first_id + message["segment_id"],
        start_s=message["start_s"],
        end_s=message["end_s"],
        stable=message["stable"],
        draft=message["draft"],
        language=message.get("language"),
    )


def final_of(message: Mapping[str, Any], first_id: int, error: StenoError | None) -> Final:
    """Parse a server's message; ids are offset by `first_id`."""
    return Final(
        segment_id=first_id + message["segment_id"],
        start_s=message["start_s"],
        end_s=message["end_s"],
        text=message["text"],
        language=message.get("language"),
        confidence=message.get("confidence"),
        words=tuple(_word(word) for word in message.get("words") or ()),
        translation=message.get("translation"),
        caption=message.get("caption"),
        error=error,
    )


def _word(word: Mapping[str, Any]) -> Word:
    return Word(word["word"], word["start_s"], word["end_s"], word.get("confidence"))
