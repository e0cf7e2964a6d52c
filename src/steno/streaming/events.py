"""What happens in a live stream. Times are seconds on the stream's clock, which begins at its `offset_s`.

Every stretch of the audio ends up in exactly one `Final` or `Silence`; these come in the order of the audio, once, and
tile it. `Partial`s go before their segment's `Final`. `SpeechStarted` and `SpeechEnded` come as soon as they are known,
which may be before the `Final` of an earlier segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from steno.errors import StenoError
from steno.types import Score, Word

Reason: TypeAlias = Literal["endpoint", "cut", "flush", "close"]
"""Why a segment ended: silence came, it got long, the client wanted it, the stream ended."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """A segment began at `start_s`; the first sound in it is at `onset_s`."""

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
class Partial:
    """What a segment that is under way says so far: `stable` is never revised, `draft` may be."""

    segment_id: int
    start_s: float
    end_s: float
    """How far the audio has been recognised."""
    stable: str
    draft: str
    language: str | None = None
    words: tuple[Word, ...] = ()

    @property
    def text(self) -> str:
        return self.stable + self.draft


@dataclass(frozen=True, slots=True)
class Final:
    """A segment's text, which begins with all that was stable. The text may be empty.

    After a `flush` with nothing to flush it is empty and has no length.
    """

    segment_id: int
    start_s: float
    end_s: float
    text: str
    reason: Reason
    spoken: tuple[float, float] | None = None
    """From the first to the last sound in it."""
    language: str | None = None
    words: tuple[Word, ...] = ()
    confidence: float | None = None
    error: StenoError | None = None
    """Why there is no more text than was stable: recognition failed."""
    diverged: bool = False
    """Whether the recogniser's last word began otherwise than what was stable, and was made to fit."""
    scores: tuple[Score, ...] = ()
    """As of a `Hypothesis`; for words that get their times later."""
    repetition: bool = False
    """As of a `Hypothesis`."""
    timing: Literal["accurate", "fast"] | None = None
    """Where the times of `words` come from: the recogniser or an aligner, or the length of the words. None where no
    words are wanted."""
    translation: str | None = None
    caption: str | None = None
    """The next cues of a subtitle file: all of a stream's, joined, are the file."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A stretch without speech, or (`discarded`) one that the client did not want."""

    start_s: float
    end_s: float
    discarded: bool = False


@dataclass(frozen=True, slots=True)
class AudioProgress:
    """The stream has been heard up to here; whether there is text in it may not be known yet."""

    until_s: float


Event: TypeAlias = SpeechStarted | SpeechEnded | Partial | Final | Silence | AudioProgress
