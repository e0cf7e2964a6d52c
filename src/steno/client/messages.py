"""What a live stream tells. Times are seconds from the beginning of the stream's audio, plus its `offset_s`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from steno.errors import StenoError
from steno.types import Word


@dataclass(frozen=True, slots=True)
class Partial:
    """What a segment that is being spoken says so far.

    `stable` is never revised while the connection lasts, `draft` may be. After a lost connection the segment is heard
    anew, under the same id.
    """

    segment_id: int
    start_s: float
    end_s: float
    """How far it has been recognised."""
    stable: str
    draft: str
    language: str | None = None

    @property
    def text(self) -> str:
        return self.stable + self.draft


@dataclass(frozen=True, slots=True)
class Final:
    """A segment's text, once for each segment and never revised. It may be empty: then it was no speech."""

    segment_id: int
    """Increasing, over lost connections too."""
    start_s: float
    end_s: float
    text: str
    language: str | None = None
    confidence: float | None = None
    words: tuple[Word, ...] = ()
    """Where they were asked for."""
    translation: str | None = None
    """Where it was asked for, and succeeded."""
    caption: str | None = None
    """The next cues of a subtitle file: all of a stream's, joined, are the file."""
    error: StenoError | None = None
    """Why there is no more text than was stable: recognition failed."""


Event: TypeAlias = Partial | Final


def partial_of(message: Mapping[str, Any], first_id: int) -> Partial:
    """As the server says it; ids are counted from `first_id` on."""
    return Partial(
        segment_id=first_id + message["segment_id"],
        start_s=message["start_s"],
        end_s=message["end_s"],
        stable=message["stable"],
        draft=message["draft"],
        language=message.get("language"),
    )


def final_of(message: Mapping[str, Any], first_id: int, error: StenoError | None) -> Final:
    """As the server says it; ids are counted from `first_id` on."""
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
