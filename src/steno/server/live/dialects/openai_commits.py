"""What an OpenAI Realtime client wants and what has not come to pass yet: commits and clears, in their order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Commit:
    item_id: str | None
    """Of the item that the client was told of at once; None: it is told when the segment has ended."""
    previous_id: str | None
    audio_s: float
    event_id: str | None = None
    """The client's own, of the event that wanted it."""


class PendingCommits:
    """The n-th `Final` of a flush is the n-th commit's. A clear shows in the silence that it makes of speech."""

    def __init__(self) -> None:
        self._wishes: deque[Commit | None] = deque()
        """None is a clear."""

    def __bool__(self) -> bool:
        return bool(self._wishes)

    @property
    def next(self) -> Commit | None:
        """The commit to which the text belongs that is told now; None if there is none, or a clear comes first."""
        return self._wishes[0] if self._wishes else None

    @property
    def holds_told(self) -> bool:
        """Whether there is a commit that the client has been told of."""
        return any(wish is not None and wish.item_id is not None for wish in self._wishes)

    @property
    def holds_untold(self) -> bool:
        return any(wish is not None and wish.item_id is None for wish in self._wishes)

    def commit(self, commit: Commit) -> None:
        self._wishes.append(commit)

    def clear(self) -> None:
        """One of several in a row is enough: without audio in between the others do nothing, and do not show."""
        if not self._wishes or self._wishes[-1] is not None:
            self._wishes.append(None)

    def flushed(self) -> Commit | None:
        """A flush has come to pass, and so have the clears before it."""
        while self._wishes:
            if commit := self._wishes.popleft():
                return commit
        return None

    def discarded(self) -> None:
        """So has a clear."""
        if self._wishes and self._wishes[0] is None:
            self._wishes.popleft()
