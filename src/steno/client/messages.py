"""Events of a live stream. Times are seconds from the start of the stream's audio, plus its `offset_s`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    speaker: str | None = None
    """Who says most of it, with `diarize`; None if that could not be told in time."""


@dataclass(frozen=True, slots=True)
class SpeakersChanged:
    """Segments that turn out to have another speaker than their `Final`: labels by segment id."""

    speakers: Mapping[int, str]


SegmentEvent: TypeAlias = Partial | Final
Event: TypeAlias = SegmentEvent | SpeakersChanged
"""`SpeakersChanged` comes with `speaker_updates` only."""


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


def final_of(message: Mapping[str, Any], first_id: int, error: StenoError | None, name: Callable[[str], str]) -> Final:
    """Parse a server's message; ids are offset by `first_id`, `name` gives the name of a speaker's label."""
    return Final(
        segment_id=first_id + message["segment_id"],
        start_s=message["start_s"],
        end_s=message["end_s"],
        text=message["text"],
        language=message.get("language"),
        confidence=message.get("confidence"),
        words=tuple(_word(word, name) for word in message.get("words") or ()),
        translation=message.get("translation"),
        caption=message.get("caption"),
        speaker=_named(message.get("speaker"), name),
        error=error,
    )


def changes_of(message: Mapping[str, Any], first_id: int, name: Callable[[str], str]) -> SpeakersChanged:
    """As `final_of`."""
    return SpeakersChanged(
        {first_id + segment["segment_id"]: name(segment["speaker"]) for segment in message["segments"]}
    )


def _word(word: Mapping[str, Any], name: Callable[[str], str]) -> Word:
    speaker, other = (_named(word.get(key), name) for key in ("speaker", "other_speaker"))
    return Word(word["word"], word["start_s"], word["end_s"], word.get("confidence"), speaker, other_speaker=other)


def _named(label: str | None, name: Callable[[str], str]) -> str | None:
    return None if label is None else name(label)
