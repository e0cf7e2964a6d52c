"""Values that are passed between layers. Times are seconds; audio is float32 mono at `SAMPLE_RATE`."""

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

BYTES_PER_SAMPLE = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}
"""Bytes per sample of the raw encodings of live clients."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word, spelled as in the text, punctuation included."""

    text: str
    start_s: float
    end_s: float
    confidence: float | None = None
    """A probability in [0, 1]; None if the backend has none."""
    speaker: str | None = None
    """Who says it; None if speakers were not asked for."""
    speaker_confidence: float | None = None
    """How clearly it is this speaker's voice, in (0, 1]; not a calibrated probability."""
    other_speaker: str | None = None
    """Who speaks at the same time, if overlapping speech was detected."""


class Score(NamedTuple):
    """The probability of a part of a text."""

    end: int
    """End of the part, in characters of the text; it starts at the end of the part before it."""
    probability: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A recognition result. Times are seconds from the start of the recognised audio."""

    text: str
    language: str | None
    words: tuple[Word, ...] = ()
    confidence: float | None = None
    scores: tuple[Score, ...] = ()
    """Probabilities of the parts of `text`, covering all of it; word confidences are computed from them."""
    settles: bool = True
    """Whether it may make live text stable; false for hypotheses of a draft model."""
    diverged: bool = False
    """Whether the model would have chosen other tokens than the stable prefix that it was given."""
    repetition: bool = False
    """Whether a repetition loop was cut."""
    sentence_end: float | None = None
    """Log-odds (natural) that a sentence ends behind the last word, by the recogniser itself; None = unknown."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A span of speech with its text. Segments of a transcript are in order and do not overlap."""

    id: int
    start_s: float
    end_s: float
    text: str
    language: str | None = None
    words: tuple[Word, ...] = ()
    confidence: float | None = None
    scores: tuple[Score, ...] = ()
    """As `Hypothesis.scores`; used for words that get their times later."""
    repetition: bool = False
    """As `Hypothesis.repetition`."""
    speaker: str | None = None
    """As `Word.speaker`: all of its words have this one."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of one file or stream."""

    text: str
    language: str | None
    duration_s: float
    segments: tuple[Segment, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    """Seconds spent by stage, as in `stage_times`; pieces that were worked on at once are summed."""
    warnings: tuple[str, ...] = ()
    """Damaged parts of the recording, which are missing."""

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all segments in order; empty if the backend returns no word times."""
        return tuple(word for segment in self.segments for word in segment.words)
