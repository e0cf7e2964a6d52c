"""The values that travel between the layers. Times are seconds, audio is float32 mono at `SAMPLE_RATE`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Audio: TypeAlias = NDArray[np.float32]
    """Shape `[samples]`, values in [-1, 1], mono, `SAMPLE_RATE`."""

SAMPLE_RATE = 16_000
"""Hz. Every layer below the decoder works at this rate."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it stands in the text, punctuation included."""

    text: str
    start_s: float
    end_s: float
    confidence: float | None = None
    """A probability in [0, 1], or None where the backend has none."""


class Score(NamedTuple):
    """How sure a backend was of a part of its text."""

    end: int
    """Where the part ends, in characters of the text; it begins where the one before it ends."""
    probability: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a backend heard; times are seconds from the start of the audio that it was given."""

    text: str
    language: str | None
    words: tuple[Word, ...] = ()
    confidence: float | None = None
    scores: tuple[Score, ...] = ()
    """Of its parts, by which words get their confidence where the backend knows no times; covers all of `text`."""
    settles: bool = True
    """Whether a live text may become stable by it: not by a quick model's, where a better one follows."""
    diverged: bool = False
    """Whether the model would have written something else than the stable text that it had to begin with."""
    repetition: bool = False
    """Whether the model repeated itself without end, and the repetition was cut to one."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech with its text. Segments of a transcript are in order and do not overlap."""

    id: int
    start_s: float
    end_s: float
    text: str
    language: str | None = None
    words: tuple[Word, ...] = ()
    confidence: float | None = None
    scores: tuple[Score, ...] = ()
    """As of a `Hypothesis`; for words that get their times later."""
    repetition: bool = False
    """As of a `Hypothesis`."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in one file or stream."""

    text: str
    language: str | None
    duration_s: float
    segments: tuple[Segment, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    """Seconds spent by stage: `decode`, `vad`, `queue`, `recognize`."""
    warnings: tuple[str, ...] = ()
    """What of the recording was damaged, and is therefore missing."""

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all segments in order; empty where the backend gives no word times."""
        return tuple(word for segment in self.segments for word in segment.words)
