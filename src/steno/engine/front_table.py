"""A table in shared memory that all fronts of a server read: one row for each front, which that front alone writes.

The supervisor creates the file, writes its head, and clears the row of a front that died. Each number is 8 bytes, so
that readers see it before or after a change, never in between.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

FIXED_SLOTS = 8
"""Keys below this number have a slot of their own in each row: nothing else can take it."""
SLOTS = 4096
"""Slots of a row for all other keys."""
PROBES = 16
"""Slots in which such a key is looked for, from its own one on."""
LOCK_S, LOCK_PAUSE_S = 0.05, 0.0001
"""A lock is held for some 10 µs, and longer only if the system runs something else than its holder meanwhile. After
`LOCK_S` its holder counts as stopped, and is not waited for."""
HEAD = 8
"""Numbers before the first row."""
NUMBER_BYTES = 8
SECRET, SECRET_BYTES = slice(32, 64), 32
"""The bytes of the head after the numbers of `Head`."""
ROW = 2 * (FIXED_SLOTS + SLOTS)
"""Numbers of a row: for each slot its key, 0 if it is free, and its count."""


class Head(IntEnum):
    """Numbers that the supervisor writes into the head."""

    EXPECTED = 0
    """How many fronts there should be."""
    RUNNING = 1
    """How many answer."""
    RESTARTS = 2
    """How often a front that died was started again."""
    WORKER_DEATHS = 3
    """How many worker processes died."""


class FrontTable:
    """The table, as one process has opened it.

    Args:
        fronts: number of rows.
    """

    def __init__(self, path: Path, fronts: int) -> None:
        self._file = os.open(path, os.O_RDWR)
        self._memory = mmap.mmap(self._file, table_bytes(fronts))
        self._numbers = memoryview(self._memory).cast("Q")
        self._fronts = fronts

    @classmethod
    def create(cls, path: Path, fronts: int) -> FrontTable:
        with path.open("wb") as file:
            file.truncate(table_bytes(fronts))
        table = cls(path, fronts)
        table.set_head(Head.EXPECTED, fronts)
        table._memory[SECRET] = secrets.token_bytes(SECRET_BYTES)
        return table

    def close(self) -> None:
        self._numbers.release()
        self._memory.close()
        os.close(self._file)

    @property
    def secret(self) -> bytes:
        """32 random bytes of this server, for a hash whose collisions no client can compute."""
        return self._memory[SECRET]

    def set_head(self, field: Head, number: int) -> None:
        self._numbers[field] = number

    def add_to_head(self, field: Head, change: int) -> None:
        """For the supervisor: no other process writes the head."""
        self._numbers[field] += change

    def head(self, field: Head) -> int:
        return self._numbers[field]

    def clear(self, front: int) -> None:
        """Forget what a front that died had counted."""
        with self.locked():
            start = _row(front)
            self._memory[start * NUMBER_BYTES : _row(front + 1) * NUMBER_BYTES] = bytes(ROW * NUMBER_BYTES)

    def count_in(self, front: int, key: int) -> int:
        """What `front` has counted under `key`, which is not 0."""
        slot = self._slot_of(front, key)
        return self._numbers[slot + 1] if slot is not None else 0

    def count_besides(self, front: int, key: int) -> int:
        """What all other fronts have counted under `key`."""
        return sum(self.count_in(other, key) for other in range(self._fronts) if other != front)

    def set_count(self, front: int, key: int, count: int) -> bool:
        """Returns whether there was a slot for it."""
        numbers = self._numbers
        slot = self._slot_of(front, key)
        if count == 0:
            if slot is not None:
                numbers[slot + 1], numbers[slot] = 0, 0
            return True
        slot = slot if slot is not None else self._slot_of(front, 0, near=key)
        if slot is None:
            return False
        numbers[slot + 1] = count
        numbers[slot] = key
        return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude other processes. A lock that is held for `LOCK_S` is not waited for."""
        until = time.perf_counter() + LOCK_S
        is_locked = False
        while not is_locked and time.perf_counter() < until:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_locked = True
            except OSError:
                time.sleep(LOCK_PAUSE_S)
        try:
            yield
        finally:
            if is_locked:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _slot_of(self, front: int, wanted: int, near: int | None = None) -> int | None:
        """The first slot with the key `wanted`, among those in which the key `near` is looked for."""
        key, numbers = wanted if near is None else near, self._numbers
        if key < FIXED_SLOTS:
            return _row(front) + 2 * key
        row = _row(front) + 2 * FIXED_SLOTS
        for probe in range(PROBES):
            slot = row + 2 * ((key + probe) % SLOTS)
            if numbers[slot] == wanted:
                return slot
        return None


def table_bytes(fronts: int) -> int:
    return NUMBER_BYTES * _row(fronts)


def _row(front: int) -> int:
    return HEAD + ROW * front
