"""Events of a live stream. Times are seconds on the stream's clock, which starts at its `offset_s`.

All audio is covered by exactly one `Final` or `Silence` each; these are emitted in order and tile the audio. `Partial`s
precede their segment's `Final`. `SpeechStarted` and `SpeechEnded` are emitted as soon as they are known, which may be
before the `Final` of an earlier segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from steno.errors import StenoError
from steno.types import Score, Word

Reason: TypeAlias = Literal["endpoint", "cut", "flush", "close"]
"""Why a segment ended: silence (endpointing), maximum length, the client's request, the end of the stream."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """A segment starts at `start_s`; its first voiced sample is at `onset_s`."""

    segment_id: int
    start_s: float
    onset_s: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """A segment's audio is complete; its `Final` follows once it has been recognised."""

    segment_id: int
    end_s: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class TurnJudged:
    """A pause in a segment was judged: the segment is complete with this `probability`. If it is over, `SpeechEnded`
    follows."""

    segment_id: int
    at_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """Speech goes on after a pause that was judged."""

    segment_id: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Partial:
    """The text of an open segment so far: `stable` is never revised, `draft` may be."""

    segment_id: int
    start_s: float
    end_s: float
    """End of the recognised audio."""
    stable: str
    draft: str
    language: str | None = None
    words: tuple[Word, ...] = ()

    @property
    def text(self) -> str:
        return self.stable + self.draft


@dataclass(frozen=True, slots=True)
class Final:
    """A segment's final text, which starts with its stable text. It may be empty.

    A `flush` without an open segment yields an empty final of zero length.
    """

    segment_id: int
    start_s: float
    end_s: float
    text: str
    reason: Reason
    spoken: tuple[float, float] | None = None
    """From the first to the last voiced sample."""
    language: str | None = None
    words: tuple[Word, ...] = ()
    confidence: float | None = None
    error: StenoError | None = None
    """Why recognition failed; the text is then the stable text only."""
    diverged: bool = False
    """Whether the last hypothesis contradicted the stable text and was changed to start with it."""
    scores: tuple[Score, ...] = ()
    """See `Hypothesis.scores`; for words that get their times later."""
    repetition: bool = False
    """See `Hypothesis.repetition`."""
    timing: Literal["accurate", "fast"] | None = None
    """Where the times of `words` come from: `accurate` = recogniser or aligner, `fast` = word lengths; None = no words
    requested."""
    speaker: str | None = None
    """Who says most of it; None if speakers were not asked for, or could not be told in time."""
    translation: str | None = None
    caption: str | None = None
    """The next cues of a subtitle file: those of all finals, joined, are the file."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A span without speech, or (`discarded`) one that the client discarded."""

    start_s: float
    end_s: float
    discarded: bool = False


@dataclass(frozen=True, slots=True)
class AudioProgress:
    """VAD has processed the stream up to here; its text may not be known yet."""

    until_s: float


@dataclass(frozen=True, slots=True)
class AssumedSilence:
    """No audio has come for so long after `at_s`, where the stream's clock stands still."""

    at_s: float
    seconds: float


Event: TypeAlias = (
    SpeechStarted
    | SpeechEnded
    | TurnJudged
    | SpeechResumed
    | Partial
    | Final
    | Silence
    | AudioProgress
    | AssumedSilence
)
