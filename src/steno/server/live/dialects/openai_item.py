"""The state of one conversation item of OpenAI Realtime."""

from __future__ import annotations

from dataclasses import dataclass, field

from steno.errors import StenoError
from steno.types import Word


@dataclass(slots=True, eq=False)
class ConversationItem:
    start_s: float
    end_s: float
    id: str | None = None
    """Given once the client hears of it."""
    previous: str | None = None
    audio_s: float | None = None
    """What the client committed, if it did; else the item is as long as its speech."""
    is_talking: bool = False
    """Whether its newest segment is still being spoken."""
    is_announced: bool = False
    """Whether `speech_started` was sent."""
    is_claimed: bool = False
    """Whether the client has been told already that it is committed."""
    is_cleared: bool = False
    """Whether the client does not want it: nothing more of it is told, unless it ended before that wish came."""
    is_committed: bool = False
    text: str = ""
    """Of its segments that are final."""
    told: str = ""
    """What has gone out as deltas."""
    words: list[Word] = field(default_factory=list)
    """For log probabilities, if they are wanted."""
    error: StenoError | None = None


@dataclass(frozen=True, slots=True)
class PendingSegment:
    """A segment without a `Final`, and its item."""

    item: ConversationItem
    start_s: float
