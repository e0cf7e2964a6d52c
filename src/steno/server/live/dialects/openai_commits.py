"""Pending commits and clears of an OpenAI Realtime client, in order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Commit:
    item_id: str | None
    """Id of the item that was announced at once; None = announced when its segment ends."""
    previous_id: str | None
    audio_s: float
    event_id: str | None = None
    """The client's id of the commit event."""


class PendingCommits:
    """The n-th `Final` of a flush is the n-th commit's. A clear appears as the silence that replaces its speech."""

    def __init__(self) -> None:
        self._wishes: deque[Commit | None] = deque()
        """None = a clear."""

    def __bool__(self) -> bool:
        return bool(self._wishes)

    @property
    def next(self) -> Commit | None:
        """The commit that the next text belongs to; None if there is none, or a clear comes first."""
        return self._wishes[0] if self._wishes else None

    @property
    def holds_told(self) -> bool:
        """Whether there is a commit whose item was announced."""
        return any(wish is not None and wish.item_id is not None for wish in self._wishes)

    @property
    def holds_untold(self) -> bool:
        return any(wish is not None and wish.item_id is None for wish in self._wishes)

    def commit(self, commit: Commit) -> None:
        self._wishes.append(commit)

    def clear(self) -> None:
        """Add a clear. Several in a row count as one: without audio in between the others have no effect."""
        if not self._wishes or self._wishes[-1] is not None:
            self._wishes.append(None)

    def flushed(self) -> Commit | None:
        """Remove the first commit, whose flush is done, and the clears before it."""
        while self._wishes:
            if commit := self._wishes.popleft():
                return commit
        return None

    def discarded(self) -> None:
        """Remove the first clear, which is done."""
        if self._wishes and self._wishes[0] is None:
            self._wishes.popleft()
