"""Which messages are no examples."""

from __future__ import annotations

import re
from collections import deque

from steno.archive.chat.chat_message import ChatMessage
from steno.archive.dataset.dataset_options import DatasetOptions
from steno.archive.text_cleaning import MENTION

FILTERS = (
    "bot", "command", "empty", "too_long", "word_list", "copypasta", "outside_of_recording", "no_transcript",
    "low_asr_confidence", "author_cap", "recording_cap",
)  # fmt: skip
"""In the order in which they are applied; the first that leaves a message out is counted."""

_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\w+|[^\w\s]")


class MessageFilters:
    """The filters that look at messages alone. Takes a recording's messages in order of time."""

    def __init__(self, options: DatasetOptions) -> None:
        self._options = options
        self._bots = {name.casefold() for name in options.bots}
        self._word_list = tuple(f" {tokens} " for word in options.word_list if (tokens := _tokens(word)))
        self._recent: deque[tuple[float, str]] = deque()
        self._copies: dict[str, float] = {}

    def reason(self, message: ChatMessage, cleaned: str) -> str | None:
        """Why the message is left out; None if it is not. `cleaned` is its text as it would be used."""
        options = self._options
        if message.author.casefold() in self._bots:
            return "bot"
        if message.text.startswith(options.command_marks):
            return "command"
        if not cleaned.replace(MENTION, "").strip():
            return "empty"
        if len(cleaned) > options.max_chars:
            return "too_long"
        if self._has_listed(cleaned):
            return "word_list"
        return "copypasta" if self._is_copy(message.time_s, cleaned) else None

    def _has_listed(self, text: str) -> bool:
        if not self._word_list:
            return False
        tokens = f" {_tokens(text)} "
        return any(listed in tokens for listed in self._word_list)

    def _is_copy(self, time_s: float, text: str) -> bool:
        """Whether the text was written within the window before; every copy makes the window last longer."""
        if len(text) < self._options.copy_min_chars:
            return False
        same = "".join(_WORD.findall(text.casefold())) or text
        while self._recent and self._recent[0][0] < time_s - self._options.copy_window_s:
            old_s, old = self._recent.popleft()
            if self._copies.get(old) == old_s:
                del self._copies[old]
        is_copy = same in self._copies
        self._recent.append((time_s, same))
        self._copies[same] = time_s
        return is_copy


def _tokens(text: str) -> str:
    """Words and symbols, casefolded, with a space between any two."""
    return " ".join(_TOKEN.findall(text.casefold()))
