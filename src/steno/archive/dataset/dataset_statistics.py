"""Statistics of a dataset's messages, for its report."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from steno.archive.chat.chat_terms import chat_terms, spoken_terms
from steno.archive.dataset.chat_example import ChatExample, ChatRecording
from steno.archive.prompt import words_before

QUOTE_LAG_S = 30.0
MAX_LAG_S = 120
TOP_MESSAGES = 30

_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(slots=True)
class DatasetStatistics:
    """Counts over examples. Adding is independent of the order."""

    splits: Counter[str] = field(default_factory=Counter)
    recordings: dict[str, Counter[str]] = field(default_factory=dict)
    """Number of examples of each recording, by split."""
    texts: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    characters: Counter[int] = field(default_factory=Counter)
    prompt_characters: Counter[int] = field(default_factory=Counter)
    """In hundreds."""
    gaps_s: Counter[int] = field(default_factory=Counter)
    """Seconds since the example before, at most `MAX_LAG_S`."""
    quote_lags_s: Counter[int] = field(default_factory=Counter)
    """Seconds since a word of the message was last said, of messages with such a word."""
    authors: Counter[str] = field(default_factory=Counter)

    def add(self, split: str, recording: ChatRecording, examples: Sequence[ChatExample]) -> None:
        self.splits[split] += len(examples)
        self.recordings.setdefault(split, Counter())[recording.id] += len(examples)
        before_s: float | None = None
        for example in examples:
            self.texts[example.text.casefold()] += 1
            self.tokens.update(_TOKEN.findall(example.text.casefold()))
            self.characters[len(example.text)] += 1
            self.prompt_characters[sum(len(part["content"]) for part in example.prompt) // 100] += 1
            self.authors[example.author] += 1
            if before_s is not None:
                self.gaps_s[min(int(example.time_s - before_s), MAX_LAG_S)] += 1
            before_s = example.time_s
            lag_s = _quote_lag_s(recording, example)
            if lag_s is not None:
                self.quote_lags_s[int(lag_s)] += 1

    @property
    def token_entropy_bits(self) -> float:
        """Shannon entropy of single tokens: low when a chat says the same all the time."""
        total = sum(self.tokens.values())
        return sum(-count / total * math.log2(count / total) for _, count in sorted(self.tokens.items()))

    @property
    def top_messages(self) -> list[tuple[str, int]]:
        return sorted(self.texts.items(), key=lambda each: (-each[1], each[0]))[:TOP_MESSAGES]

    def summary(self) -> dict[str, object]:
        return {
            "splits": dict(sorted(self.splits.items())),
            "recordings": {split: dict(sorted(counts.items())) for split, counts in sorted(self.recordings.items())},
            "authors": len(self.authors),
            "tokens": sum(self.tokens.values()),
            "distinct_tokens": len(self.tokens),
            "token_entropy_bits": round(self.token_entropy_bits, 4),
            "distinct_messages": len(self.texts),
        }


def _quote_lag_s(recording: ChatRecording, example: ChatExample) -> float | None:
    """Since the rarest word of the message among those that were said lately."""
    said = list(spoken_terms(words_before(recording.words, example.time_s, QUOTE_LAG_S)))
    frequency = Counter(term for term, _ in said)
    shared = chat_terms(example.text) & frequency.keys()
    if not shared:
        return None
    rarest = min(shared, key=lambda term: (frequency[term], -len(term), term))
    return example.time_s - max(end_s for term, end_s in said if term == rarest)
