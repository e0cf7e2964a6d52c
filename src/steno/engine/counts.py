"""Counts that limits are checked against: of this process, or of all fronts together (`shared_counts`)."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Counts(Protocol):
    """Numbers of things by name. Use it on one event loop."""

    def total(self, name: str) -> int:
        """In all processes that share the counts."""

    def add(self, name: str, change: int) -> None:
        """Change this process's number."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Held around a check of a total and the `add` that depends on it. Takes microseconds."""


class LocalCounts:
    """The `Counts` of a server that is one process."""

    def __init__(self) -> None:
        self._own: Counter[str] = Counter()

    def total(self, name: str) -> int:
        return self._own.get(name, 0)

    def add(self, name: str, change: int) -> None:
        self._own[name] += change
        if not self._own[name]:
            del self._own[name]

    def exclusive(self) -> AbstractContextManager[None]:
        return nullcontext()
