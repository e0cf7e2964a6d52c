"""The examples of a recording: its messages after all filters, each with its prompt."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from steno.archive.chat.chat_message import ChatMessage
from steno.archive.dataset.dataset_options import DatasetOptions
from steno.archive.dataset.message_filters import MessageFilters
from steno.archive.prompt import PromptMessage, chat_prompt, words_before
from steno.archive.text_cleaning import clean_text
from steno.types import Word

AUTHOR_DIGITS, ID_DIGITS = 16, 12


@dataclass(frozen=True, slots=True)
class ChatRecording:
    """A recording with its chat on its own clock."""

    id: str
    duration_s: float
    words: Sequence[Word]
    """In order."""
    messages: Sequence[ChatMessage]
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Checksums of what it was made from, by role."""


@dataclass(frozen=True, slots=True)
class ChatExample:
    """A message, and the prompt that it answers."""

    id: str
    """Ends in a salted hash of time, author and text."""
    recording: str
    time_s: float
    author: str
    """A salted hash."""
    prompt: list[PromptMessage]
    text: str
    weight: float

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "recording": self.recording,
            "time_s": round(self.time_s, 3),
            "author": self.author,
            "weight": self.weight,
            "messages": [*self.prompt, PromptMessage(role="assistant", content=self.text)],
        }


@dataclass(slots=True)
class FilterCounts:
    """What filters and cleaning did."""

    messages: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    """Messages that were left out, by the first filter that did."""
    cleaned: Counter[str] = field(default_factory=Counter)
    """Parts of kept messages that were removed, by kind."""
    weighted_down: int = 0
    kept: int = 0

    def add(self, other: FilterCounts) -> None:
        self.messages += other.messages
        self.removed.update(other.removed)
        self.cleaned.update(other.cleaned)
        self.weighted_down += other.weighted_down
        self.kept += other.kept


def examples_of(
    recording: ChatRecording, options: DatasetOptions, salt: bytes, counts: FilterCounts
) -> Iterator[ChatExample]:
    """Yield the examples in order of time. The same recording, options and salt give the same examples."""
    messages = sorted(recording.messages, key=lambda each: (each.time_s, each.author, each.text))
    names = frozenset[str]().union(*(message.names for message in messages))
    counts.messages += len(messages)
    for message, text in _chosen(recording, messages, names, options, counts):
        weight = options.emote_only_weight if is_emotes(message) else 1.0
        counts.weighted_down += weight < 1.0
        counts.kept += 1
        yield ChatExample(
            id=f"{recording.id}-{_keyed([recording.id, *_identity(message)], salt)[:ID_DIGITS]}",
            recording=recording.id,
            time_s=message.time_s,
            author=author_hash(message.author, salt),
            prompt=chat_prompt(recording.words, messages, message.time_s, options.window, names),
            text=text,
            weight=weight,
        )


def author_hash(author: str, salt: bytes) -> str:
    return _keyed([author.casefold()], salt)[:AUTHOR_DIGITS]


def is_emotes(message: ChatMessage) -> bool:
    """Whether the message is made of emotes and nothing else."""
    rest = message.text.split()
    emotes = set(message.emotes)
    return bool(rest) and all(word in emotes or not any(char.isalnum() for char in word) for word in rest)


def _chosen(
    recording: ChatRecording,
    messages: Iterable[ChatMessage],
    names: frozenset[str],
    options: DatasetOptions,
    counts: FilterCounts,
) -> list[tuple[ChatMessage, str]]:
    """The messages that pass all filters, with their cleaned texts."""
    filters = MessageFilters(options)
    passed = []
    for message in messages:
        cleaned: Counter[str] = Counter()
        text = clean_text(message.text, names, cleaned)
        reason = filters.reason(message, text) or _reason_of_speech(recording, message, options)
        if reason is not None:
            counts.removed[reason] += 1
            continue
        counts.cleaned.update(cleaned)
        passed.append((message, text))
    return _capped(recording.id, passed, options, counts)


def _reason_of_speech(recording: ChatRecording, message: ChatMessage, options: DatasetOptions) -> str | None:
    """Why what was said before a message cannot be used."""
    if not 0 <= message.time_s <= recording.duration_s:
        return "outside_of_recording"
    words = words_before(recording.words, message.time_s, options.transcript_s)
    if len(words) < options.min_transcript_words:
        return "no_transcript"
    known = [word.confidence for word in words if word.confidence is not None]
    if known and sum(known) / len(known) < options.min_asr_confidence:
        return "low_asr_confidence"
    return None


def _capped(
    recording: str, passed: Sequence[tuple[ChatMessage, str]], options: DatasetOptions, counts: FilterCounts
) -> list[tuple[ChatMessage, str]]:
    """At most so many of each author and in all: a random choice that does not depend on the order."""
    ranked = sorted(
        range(len(passed)), key=lambda at: (_digest([str(options.seed), recording, *_identity(passed[at][0])]), at)
    )
    kept: list[int] = []
    by_author: Counter[str] = Counter()
    for at in ranked:
        author = passed[at][0].author
        if by_author[author] >= options.max_per_author:
            counts.removed["author_cap"] += 1
        elif len(kept) >= options.max_per_recording:
            counts.removed["recording_cap"] += 1
        else:
            by_author[author] += 1
            kept.append(at)
    return [passed[at] for at in sorted(kept)]


def _identity(message: ChatMessage) -> list[str]:
    return [f"{message.time_s:.3f}", message.author, message.text]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _keyed(parts: Sequence[str], salt: bytes) -> str:
    """Without the salt nobody can test whether these are the parts."""
    return hmac.digest(salt, "\0".join(parts).encode(), hashlib.sha256).hex()
