"""A message of a chat log, and what a reader could not use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

MAX_EXAMPLES = 5
"""Rejected entries that a report quotes, for each reason."""
MAX_QUOTE = 120


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message. Times are seconds on the chat's clock."""

    time_s: float
    author: str
    text: str
    emotes: tuple[str, ...] = ()
    """Parts of `text` that are pictures, in order."""
    sent_at: float | None = None
    """Unix time, where the log has it."""
    display_name: str = ""
    """How the chat shows the author, where that is another name than `author`."""

    @property
    def names(self) -> frozenset[str]:
        """Casefolded names of the author."""
        return frozenset(name.casefold() for name in (self.author, self.display_name) if name)


@dataclass(slots=True)
class ReadReport:
    """What a reader has read. Complete when the reader is exhausted."""

    messages: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """Entries that could not be used, by reason."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Some of them, by reason: where they stand and what they are."""

    def reject(self, reason: str, place: str, entry: str) -> None:
        self.rejected[reason] += 1
        quoted = self.examples.setdefault(reason, [])
        if len(quoted) < MAX_EXAMPLES:
            quoted.append(f"{place}: {without_surrogates(entry[:MAX_QUOTE])}")

    def counted(self, messages: Iterable[ChatMessage]) -> Iterator[ChatMessage]:
        """The messages, counted, with texts that any encoding can hold."""
        for message in messages:
            self.messages += 1
            yield replace(
                message,
                author=without_surrogates(message.author),
                text=without_surrogates(message.text),
                emotes=tuple(map(without_surrogates, message.emotes)),
                display_name=without_surrogates(message.display_name),
            )

    def warnings(self) -> tuple[str, ...]:
        """One line for each reason, the most frequent first."""
        return tuple(
            f"{count} {'entry' if count == 1 else 'entries'} not used, {reason}; {self.examples[reason][0]}"
            for reason, count in self.rejected.most_common()
        )


def without_surrogates(text: str) -> str:
    """The text with U+FFFD for halves of a surrogate pair, which JSON's escapes may have and UTF-8 may not."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
