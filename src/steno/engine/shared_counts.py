"""The counts of all fronts of a server together, in a `FrontTable`."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import AbstractContextManager

from steno.engine.front_table import FrontTable


class SharedCounts:
    """The `Counts` of one front. A name for which its row has no slot is counted for this front alone."""

    def __init__(self, table: FrontTable, front: int) -> None:
        self._table = table
        self._front = front
        self._own: Counter[str] = Counter()

    def total(self, name: str) -> int:
        return self._own.get(name, 0) + self._table.count_besides(self._front, _key_of(name))

    def add(self, name: str, change: int) -> None:
        self._own[name] += change
        count = self._own[name]
        self._table.set_count(self._front, _key_of(name), count)
        if not count:
            del self._own[name]

    def exclusive(self) -> AbstractContextManager[None]:
        return self._table.locked()


def _key_of(name: str) -> int:
    """A number that stands for the name; never 0, which marks free slots."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") or 1
