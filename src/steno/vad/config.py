"""Endpointing options: when speech starts and ends, and how long a segment may be."""

from __future__ import annotations

from dataclasses import dataclass

from steno.types import SAMPLE_RATE
from steno.vad.silero import FRAME


@dataclass(frozen=True, slots=True)
class SegmenterConfig:
    """Options of `Segmenter` (live) and `FileCutter` (files). Raises `ValueError` for invalid combinations."""

    threshold: float = 0.5
    """Speech starts at this probability."""
    release: float = 0.35
    """Speech continues until the probability falls below this."""
    min_speech_ms: float = 96
    """Shorter sounds are clicks, not speech."""
    pre_roll_ms: float = 300
    """Audio before the first voiced frame that belongs to the speech: VAD detects soft onsets late."""
    search_from_s: float = 24.0
    """From this length on, the segment is cut in a pause."""
    max_s: float = 30.0
    """At this length the segment is cut in any case."""
    cut_silence_ms: float = 160
    """Shortest pause to cut in."""

    cut_room_s: float = 1.0
    """Live: a forced cut lies within this time before `max_s`; older audio may be recognised at once."""
    silence_ms: float = 500
    """Live: an utterance ends after this much silence (endpointing)."""
    turn_checks_ms: tuple[float, ...] = ()
    """Live: pauses, in rising order, in which it is judged whether the utterance is complete (`Segmenter.judge`).
    Empty = only silence ends it."""
    max_silence_ms: float = 3000
    """Live: an utterance that was judged incomplete ends after this much silence, if that is more than `silence_ms`."""

    pause_s: float = 2.0
    """Files: after a pause this long, the speech starts a new piece."""
    apart_s: float = 5.0
    """Files: unvoiced audio before the speech (music, noise) of at least this length becomes its own piece."""
    drop_below_dbfs: float = -75.0
    """Files: a level below this is digital silence: nothing was recorded."""
    drop_after_s: float = 1.0
    """Files: digital silence of this length is dropped, except `pre_roll_ms` next to other audio."""

    def __post_init__(self) -> None:
        if not 0 < self.release <= self.threshold < 1:
            raise ValueError(f"need 0 < release ({self.release}) <= threshold ({self.threshold}) < 1")
        if not 1 <= self.search_from_s < self.max_s:
            raise ValueError(f"need 1 <= search_from_s ({self.search_from_s}) < max_s ({self.max_s})")
        for name in (
            "min_speech_ms",
            "cut_silence_ms",
            "silence_ms",
            "max_silence_ms",
            "cut_room_s",
            "pause_s",
            "apart_s",
            "drop_after_s",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if list(self.turn_checks_ms) != sorted({check for check in self.turn_checks_ms if check > 0}):
            raise ValueError(f"turn_checks_ms must rise and be above 0, got {self.turn_checks_ms}")
        if not 0 <= self.pre_roll_ms < 1000 * self.search_from_s:
            raise ValueError(f"pre_roll_ms must be 0 or more, and less than search_from_s, got {self.pre_roll_ms}")
        if not 2 * self.pre_roll_ms <= 1000 * self.drop_after_s:
            raise ValueError(
                f"drop_after_s ({self.drop_after_s}) must be at least twice pre_roll_ms ({self.pre_roll_ms})"
            )


def frames_of(seconds: float) -> int:
    """Whole frames that cover `seconds`; at least one."""
    return max(1, -(-round(seconds * SAMPLE_RATE) // FRAME))
