"""When speech begins and ends, and how long a stretch of audio may be."""

from __future__ import annotations

from dataclasses import dataclass

from steno.types import SAMPLE_RATE
from steno.vad.silero import FRAME


@dataclass(frozen=True, slots=True)
class SegmenterConfig:
    """Options of `Segmenter` (live) and `PieceCutter` (files). Raises `ValueError` where they make no sense."""

    threshold: float = 0.5
    """Speech begins at this probability …"""
    release: float = 0.35
    """… and goes on until it falls below this one."""
    min_speech_ms: float = 96
    """What is shorter is a click, not speech."""
    pre_roll_ms: float = 300
    """How much before the first sound still belongs to it: soft onsets come before the VAD hears them."""
    search_from_s: float = 24.0
    """From this length on, a good place to cut is looked for …"""
    max_s: float = 30.0
    """… and here it is cut, wherever that is."""
    cut_silence_ms: float = 160
    """A pause that is good enough to cut in."""

    cut_room_s: float = 1.0
    """Live: a cut at `max_s` comes in the last so many seconds before; what is older may be used at once."""
    silence_ms: float = 500
    """Live: an utterance ends after this much silence."""

    pause_s: float = 2.0
    """Files: after a pause this long, a new piece begins with the speech."""
    apart_s: float = 5.0
    """Files: what lies before the speech, if it is this long (music, noise), is a piece of its own."""
    drop_below_dbfs: float = -75.0
    """Files: below this level is digital silence: nothing was recorded."""
    drop_after_s: float = 1.0
    """Files: digital silence of this length is dropped, but for `pre_roll_ms` at each end next to other audio."""

    def __post_init__(self) -> None:
        if not 0 < self.release <= self.threshold < 1:
            raise ValueError(f"need 0 < release ({self.release}) <= threshold ({self.threshold}) < 1")
        if not 1 <= self.search_from_s < self.max_s:
            raise ValueError(f"need 1 <= search_from_s ({self.search_from_s}) < max_s ({self.max_s})")
        for name in (
            "min_speech_ms",
            "cut_silence_ms",
            "silence_ms",
            "cut_room_s",
            "pause_s",
            "apart_s",
            "drop_after_s",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.pre_roll_ms < 1000 * self.search_from_s:
            raise ValueError(f"pre_roll_ms must be 0 or more, and less than search_from_s, got {self.pre_roll_ms}")
        if not 2 * self.pre_roll_ms <= 1000 * self.drop_after_s:
            raise ValueError(
                f"drop_after_s ({self.drop_after_s}) must be at least twice pre_roll_ms ({self.pre_roll_ms})"
            )


def frames_of(seconds: float) -> int:
    """Whole frames that cover `seconds`; at least one."""
    return max(1, -(-round(seconds * SAMPLE_RATE) // FRAME))
