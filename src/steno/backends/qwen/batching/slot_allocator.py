"""The slot allocator: which request holds which KV cache slot; and the cache of a live utterance between its steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steno.backends.base import SlotKind, SlotUse

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

    Args:
        counts: slots of each class, the shortest first. A recording gets a longer slot than it needs only if no other
            is available. A live utterance gets one before another utterance is evicted, because it can be evicted.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        self.class_of = [number for number, count in enumerate(counts) for _ in range(count)]
        """The class of each slot."""
        self.counts = list(counts)
        self._free: list[list[int]] = [[] for _ in counts]
        for slot in reversed(range(len(self.class_of))):
            self._free[self.class_of[slot]].append(slot)
        self._cached: dict[str, CachedUtterance] = {}
        self._allocated: list[set[int]] = [set() for _ in counts]

    @property
    def is_live(self) -> bool:
        """Whether any live utterance is in progress."""
        return bool(self._cached)

    @property
    def unused(self) -> int:
        """Slots that hold nothing, neither for a request nor for an idle utterance."""
        return sum(map(len, self._free))

    def uses(self) -> Iterator[SlotUse]:
        """How many slots of each class are held now. The longest class is `long`."""
        for number, count in enumerate(self.counts):
            active, free = len(self._allocated[number]), len(self._free[number])
            kind: SlotKind = "long" if number == len(self.counts) - 1 else "short"
            yield SlotUse(kind, active, max(count - active - free, 0), count)

    def available(self, number: int) -> int:
        """Slots of a class that `allocate` can return: free ones, and those of idle utterances."""
        return self.counts[number] - len(self._allocated[number])

    def cached(self, utterance: str) -> CachedUtterance:
        """The utterance's cache; an empty one is created for a new utterance."""
        return self._cached.setdefault(utterance, CachedUtterance())

    def is_cached(self, utterance: str) -> bool:
        return utterance in self._cached

    def allocate(self, cached: CachedUtterance | None, now: int, number: int = 0) -> int | None:
        """A slot of a class or a longer one: the utterance's own, a free one, or that of an evicted utterance.

        The slot that the utterance had, if it is too short, is free afterwards, with its contents.

        Args:
            now: the current step.

        Returns:
            None if all are held by requests.
        """
        own = cached.slot if cached is not None else None
        slot = own if own is not None and self.class_of[own] >= number else self._take(now, number, cached)
        if slot is None:
            return None
        if cached is not None:
            cached.slot = slot
        self._allocated[self.class_of[slot]].add(slot)
        if own is not None and own != slot:
            self._release(own)
        return slot

    def exchange(self, slot: int, cached: CachedUtterance | None, now: int, number: int) -> int:
        """A slot of a longer class, of which some are available, for a request that holds `slot`, which is free
        afterwards, with its contents."""
        longer = self._take(now, number, cached)
        assert longer is not None
        self._allocated[self.class_of[longer]].add(longer)
        if cached is not None and cached.slot == slot:
            cached.slot = longer
        self._allocated[self.class_of[slot]].discard(slot)
        self._release(slot)
        return longer

    def free(self, slot: int) -> None:
        """Take back the slot of a request that is done. The utterance that it belongs to keeps its contents."""
        self._allocated[self.class_of[slot]].discard(slot)
        if all(one.slot != slot for one in self._cached.values()):
            self._release(slot)

    def forget(self, utterance: str) -> None:
        """Drop the utterance's cache and free its slot. No-op if it is unknown."""
        cached = self._cached.pop(utterance, None)
        if cached is None or cached.slot is None:
            return
        slot, cached.slot = cached.slot, None  # a request that still waits must not get the slot back
        if slot not in self._allocated[self.class_of[slot]]:
            self._release(slot)

    def _take(self, now: int, number: int, cached: CachedUtterance | None) -> int | None:
        """A slot of one of the classes from `number` on: a free one, or that of an evicted utterance."""
        usable = [one for one in range(number, len(self.counts)) if self.available(one)]
        if not usable:
            return None
        with_free = (one for one in usable if self._free[one])
        chosen = usable[0] if cached is None else next(with_free, usable[0])
        if self._free[chosen]:
            return self._free[chosen].pop()
        idle = (one for one in self._cached.values() if self._is_idle(one.slot, chosen))
        evicted = max(idle, key=lambda one: one.next_use_step(now))
        slot, evicted.slot = evicted.slot, None
        return slot

    def _is_idle(self, slot: int | None, number: int) -> bool:
        return slot is not None and self.class_of[slot] == number and slot not in self._allocated[number]

    def _release(self, slot: int) -> None:
        free = self._free[self.class_of[slot]]
        free.append(slot)
        free.sort(reverse=True)
