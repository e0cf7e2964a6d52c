"""What a session asks of others: audio to recognise, and pauses to judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio, Hypothesis


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
    voiced_until: int
    """End of the speech, in samples from the start of the stream."""
    end: int
    """End of the pause so far."""
    hypothesis: Hypothesis | None = None
    """Of the speculative final, if it has been recognised."""

    @property
    def key(self) -> tuple[int, int]:
        """The same for a pause as long as it lasts."""
        return self.segment_id, self.voiced_until

    @property
    def silence_s(self) -> float:
        """How long the pause is so far."""
        return (self.end - self.voiced_until) / SAMPLE_RATE

    def audio_with(self, silence: int) -> Audio:
        """The utterance, up to `silence` samples into the pause."""
        return self.audio[: len(self.audio) - (self.end - self.voiced_until) + silence]
