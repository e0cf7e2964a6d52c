"""The slot allocator: which request holds which KV cache slot; and the cache of a live utterance between its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steno.backends.drafts import Ids
    from steno.backends.qwen.model.audio_state import AudioState


@dataclass(slots=True, eq=False)
class CachedUtterance:
    """What is cached of one live utterance."""

    audio_state: AudioState | None = None
    slot: int | None = None
    """None = it never had a slot, or was evicted from it."""
    tokens: Ids = ()
    """The utterance's last text."""
    logprobs: tuple[float, ...] = ()
    """Log-probability of each of `tokens`."""
    language: str | None = None
    """The language that was forced for `tokens`; None = detected."""
    samples: int = 0
    """Length of the audio that `tokens` transcribe."""
    active_requests: int = 0
    """Requests of this utterance that are in progress."""
    last_step: int = 0
    """The step at which its last request was added."""
    step_interval: int = 0
    """Steps between its last request and the one before."""

    def begin_request(self, now: int) -> None:
        """A request of this utterance is added at step `now`."""
        self.active_requests += 1
        self.last_step, self.step_interval = now, now - self.last_step

    def end_request(self) -> None:
        """A request of this utterance is done."""
        self.active_requests -= 1

    def next_use_step(self, now: int) -> int:
        """Estimate of the step at which the utterance needs its slot again: the longer it is overdue, the later."""
        if self.active_requests:
            return now
        due = self.last_step + self.step_interval
        return max(due, 2 * now - due)


class SlotAllocator:
    """Allocates slots to requests while they are decoded.

    A live utterance keeps its slot between its steps, and with it the KV cache computed so far, until a request needs
    one and none is free: then the utterance whose next use is furthest away is evicted, and computes its prefix again.
    (Not least-recently-used: where more streams step in turn than there are slots, LRU would always evict the next one
    to step, and no cached prefix would ever be used.)
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._free = sorted(range(slots), reverse=True)
        self._cached: dict[str, CachedUtterance] = {}
        self._allocated: set[int] = set()

    @property
    def is_live(self) -> bool:
        """Whether any live utterance is in progress."""
        return bool(self._cached)

    @property
    def available(self) -> int:
        """Slots that `allocate` can return: free ones, and those of idle utterances."""
        return self._slots - len(self._allocated)

    @property
    def unused(self) -> int:
        """Slots that hold nothing, neither for a request nor for an idle utterance."""
        return len(self._free)

    def cached(self, utterance: str) -> CachedUtterance:
        """The utterance's cache; an empty one is created for a new utterance."""
        return self._cached.setdefault(utterance, CachedUtterance())

    def is_cached(self, utterance: str) -> bool:
        return utterance in self._cached

    def allocate(self, cached: CachedUtterance | None, now: int) -> int:
        """A slot: the utterance's own, a free one, or that of an evicted utterance. `now`: the current step."""
        if cached is not None and cached.slot is not None:
            slot = cached.slot
        elif self._free:
            slot = self._free.pop()
        else:
            idle = (one for one in self._cached.values() if one.slot is not None and one.slot not in self._allocated)
            evicted = max(idle, key=lambda one: one.next_use_step(now))
            assert evicted.slot is not None
            slot, evicted.slot = evicted.slot, None
        if cached is not None:
            cached.slot = slot
        self._allocated.add(slot)
        return slot

    def free(self, slot: int) -> None:
        """Take back the slot of a request that is done. The utterance that it belongs to keeps its contents."""
        self._allocated.discard(slot)
        if all(one.slot != slot for one in self._cached.values()):
            self._release(slot)

    def forget(self, utterance: str) -> None:
        """Drop the utterance's cache and free its slot. No-op if it is unknown."""
        cached = self._cached.pop(utterance, None)
        if cached is None or cached.slot is None:
            return
        slot, cached.slot = cached.slot, None  # a request that still waits must not get the slot back
        if slot not in self._allocated:
            self._release(slot)

    def _release(self, slot: int) -> None:
        self._free.append(slot)
        self._free.sort(reverse=True)
