"""The state of one conversation item of OpenAI Realtime."""

from __future__ import annotations

from dataclasses import dataclass, field

from steno.errors import StenoError
from steno.pipelines.speaker_labels import SpeakerRun
from steno.types import Word


@dataclass(slots=True, eq=False)
class ConversationItem:
    start_s: float
    end_s: float
    id: str | None = None
    """Set when the item is announced."""
    previous: str | None = None
    audio_s: float | None = None
    """Seconds of audio that the client committed; None = the item is as long as its speech."""
    is_talking: bool = False
    """Whether its newest segment is open."""
    is_announced: bool = False
    """Whether `speech_started` was sent."""
    is_claimed: bool = False
    """Whether `committed` was sent."""
    is_cleared: bool = False
    """Whether the client cleared it: nothing more of it is sent, unless it ended before the clear."""
    is_committed: bool = False
    text: str = ""
    """Text of its final segments."""
    sent: str = ""
    """Text already sent as deltas."""
    words: list[Word] = field(default_factory=list)
    """Words for log probabilities, if requested."""
    runs: list[SpeakerRun] = field(default_factory=list)
    """Its text by speakers, if requested."""
    error: StenoError | None = None


@dataclass(frozen=True, slots=True)
class PendingSegment:
    """A segment without a `Final`, and its item."""

    item: ConversationItem
    start_s: float
