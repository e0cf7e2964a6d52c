"""What a session asks of others: audio to recognise, and pauses to judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steno.types import Audio


@dataclass(frozen=True, slots=True, eq=False)
class StepRequest:
    """Audio to be recognised now: a segment so far, or (`final`) a complete segment."""

    segment_id: int
    audio: Audio
    end: int
    """End of the audio, in samples from the start of the stream."""
    final: bool
    stable: str = ""
    """The segment's stable text."""
    speech_s: float = 0.0
    """Seconds of the audio in which VAD detected speech."""
    speculative: bool = False
    """A final that is recognised in a pause, before it is known that the segment ends there. If speech continues, the
    session no longer `wants` it."""

    @property
    def what(self) -> str:
        return "final" if self.final else "partial"


@dataclass(frozen=True, slots=True, eq=False)
class Pause:
    """A pause in an utterance, to be judged: is it complete?"""

    segment_id: int
    audio: Audio
    """The utterance, up to and with the pause."""
