"""The counts of all fronts of a server together, in a `FrontTable`."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import AbstractContextManager

from loguru import logger

from steno.engine.front_table import FIXED_SLOTS, FrontTable

KEYS_OF_ADMISSION = {"uploads": 1, "live": 2, "jobs": 3}
"""Keys of what `AdmissionControl` counts, in slots of their own: names that clients choose cannot displace them."""


class SharedCounts:
    """The `Counts` of one front. A name for which its row has no slot is counted for this front alone."""

    def __init__(self, table: FrontTable, front: int) -> None:
        self._table = table
        self._front = front
        self._secret = table.secret
        self._own: Counter[str] = Counter()
        self._has_warned = False

    def total(self, name: str) -> int:
        return self._own.get(name, 0) + self._table.count_besides(self._front, self._key_of(name))

    def add(self, name: str, change: int) -> None:
        self._own[name] += change
        count = self._own[name]
        has_slot = self._table.set_count(self._front, self._key_of(name), count)
        if not count:
            del self._own[name]
        if not has_slot and not self._has_warned:
            self._has_warned = True
            text = "front {} counts more names than its row of the shared table has slots for"
            logger.warning(text + "; limits of some clients hold for each front by itself", self._front)

    def exclusive(self) -> AbstractContextManager[None]:
        return self._table.locked()

    def _key_of(self, name: str) -> int:
        """The number of a name. Names of clients get a keyed hash, so that no client can make them collide."""
        if name in KEYS_OF_ADMISSION:
            return KEYS_OF_ADMISSION[name]
        digest = hashlib.blake2b(name.encode(), digest_size=8, key=self._secret).digest()
        return max(int.from_bytes(digest, "little"), FIXED_SLOTS)
