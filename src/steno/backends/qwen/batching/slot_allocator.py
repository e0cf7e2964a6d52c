"""Which slot is whose, and what stays of a live utterance between its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steno.backends.qwen.model.audio_state import AudioState
    from steno.backends.qwen3_asr.prompt import Ids


@dataclass(slots=True, eq=False)
class CachedUtterance:
    """Of one live utterance."""

    sound: AudioState | None = None
    slot: int | None = None
    tokens: Ids = ()
    """Its last text …"""
    certainty: tuple[float, ...] = ()
    """… and the logarithms of their probabilities."""
    language: str | None = None
    """The one that was forced then."""
    samples: int = 0
    """Of the audio whose text that is."""
    rows: int = 0
    """Of it, under way."""
    begun: int = 0
    """The step at which it was last heard …"""
    every: int = 0
    """… and how many steps after the time before."""

    def begin(self, now: int) -> None:
        """It is heard again, at this step."""
        self.rows += 1
        self.begun, self.every = now, now - self.begun

    def end(self) -> None:
        """What `begin` began is done."""
        self.rows -= 1

    def next(self, now: int) -> int:
        """The step at which it will want its slot again, as far as one can tell: the longer it has been silent beyond
        its time, the longer it will be."""
        if self.rows:
            return now
        due = self.begun + self.every
        return max(due, 2 * now - due)


class SlotAllocator:
    """Slots, lent to rows while they are decoded. Between its steps a live utterance keeps its slot, and with it all
    that was computed for it, until a row needs one and none is free: then the utterance that will want its own last
    loses it. That costs time, and nothing else. (Where more streams step in turn than there are slots, taking that of
    the one that was heard the longest time ago would always hit the next: nobody would ever find anything kept.)"""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._free = sorted(range(slots), reverse=True)
        self._kept: dict[str, CachedUtterance] = {}
        self._lent: set[int] = set()

    @property
    def is_live(self) -> bool:
        """Whether any live utterance is under way."""
        return bool(self._kept)

    @property
    def available(self) -> int:
        """Slots that can be lent."""
        return self._slots - len(self._lent)

    @property
    def unused(self) -> int:
        """Slots that nobody holds."""
        return len(self._free)

    def kept(self, utterance: str) -> CachedUtterance:
        """What is kept of it; nothing yet of one that is new."""
        return self._kept.setdefault(utterance, CachedUtterance())

    def knows(self, utterance: str) -> bool:
        return utterance in self._kept

    def lend(self, kept: CachedUtterance | None, now: int) -> int:
        """A slot: the utterance's own, a free one, or another utterance's. `now`: the step."""
        if kept is not None and kept.slot is not None:
            slot = kept.slot
        elif self._free:
            slot = self._free.pop()
        else:
            idle = (one for one in self._kept.values() if one.slot is not None and one.slot not in self._lent)
            loser = max(idle, key=lambda one: one.next(now))
            assert loser.slot is not None
            slot, loser.slot = loser.slot, None
        if kept is not None:
            kept.slot = slot
        self._lent.add(slot)
        return slot

    def give_back(self, slot: int) -> None:
        """Of a row that is done. An utterance that is under way keeps it."""
        self._lent.discard(slot)
        if all(one.slot != slot for one in self._kept.values()):
            self._release(slot)

    def forget(self, utterance: str) -> None:
        kept = self._kept.pop(utterance, None)
        if kept is None or kept.slot is None:
            return
        slot, kept.slot = kept.slot, None  # a row that still waits must not come back to it
        if slot not in self._lent:
            self._release(slot)

    def _release(self, slot: int) -> None:
        self._free.append(slot)
        self._free.sort(reverse=True)
