"""The prompt of the dataset `chat-sft`, for training and for inference: the same function for both.

    from steno.archive.prompt import PromptWindow, chat_prompt

    chat_prompt(words, messages, now_s=now, window=PromptWindow())    # [{"role": "system", …}, {"role": "user", …}]

The template is frozen: another one gets another `TEMPLATE_VERSION`. Datasets have it in `prompt.json`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict

from steno.archive.chat.chat_message import ChatMessage
from steno.archive.text_cleaning import clean_text
from steno.captions.script import needs_space
from steno.types import Word

TEMPLATE_VERSION = 1
SYSTEM = "You are a viewer in the chat of a live stream. Write the next chat message."
TEMPLATE = "What was said:\n{transcript}\n\nChat:\n{chat}\n\nNext message:"
NOTHING = "-"


class PromptMessage(TypedDict):
    """A message of a conversation, as chat templates take it."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class PromptWindow:
    """How much of the past a prompt has."""

    transcript_s: float = 60.0
    messages: int = 20
    messages_s: float = 120.0
    """Older messages are left out."""


def chat_prompt(
    words: Sequence[Word],
    messages: Sequence[ChatMessage],
    now_s: float,
    window: PromptWindow,
    names: Collection[str] = (),
) -> list[PromptMessage]:
    """The prompt for a message at `now_s`. Later words and messages are not looked at.

    Args:
        words: in order, times of the recording.
        messages: in order of time, on the recording's clock.
        names: casefolded names that must not be shown, besides those of the window's authors.
    """
    said = words_before(words, now_s, window.transcript_s)
    end = bisect_left(messages, now_s, key=lambda each: each.time_s)
    begin = bisect_left(messages, now_s - window.messages_s, key=lambda each: each.time_s)
    recent = messages[max(begin, end - window.messages) : end]
    user = TEMPLATE.format(transcript=joined(said) or NOTHING, chat=_lines(recent, names) or NOTHING)
    return [PromptMessage(role="system", content=SYSTEM), PromptMessage(role="user", content=user)]


def words_before(words: Sequence[Word], now_s: float, seconds: float) -> Sequence[Word]:
    """The words that began in the last `seconds` and have ended."""
    begin = bisect_left(words, now_s - seconds, key=lambda word: word.start_s)
    return words[begin : bisect_right(words, now_s, key=lambda word: word.end_s)]


def joined(words: Sequence[Word]) -> str:
    """The words as a text, with spaces where their script has them."""
    text = ""
    for word in words:
        if text and word.text and needs_space(text[-1], word.text[0]):
            text += " "
        text += word.text
    return text


def _lines(messages: Sequence[ChatMessage], names: Collection[str]) -> str:
    """Authors are numbered in order of appearance: the prompt has no name, nor anything made of one."""
    authors = frozenset[str]().union(*(message.names for message in messages))
    hidden = names if isinstance(names, frozenset) and names >= authors else frozenset(names) | authors
    numbers: dict[str, int] = {}
    lines = []
    for message in messages:
        text = _cleaned(message.text, hidden)
        if text:
            number = numbers.setdefault(message.author, len(numbers) + 1)
            lines.append(f"viewer {number}: {text}")
    return "\n".join(lines)


@lru_cache(maxsize=4096)
def _cleaned(text: str, hidden: frozenset[str]) -> str:
    """A message is in the windows of many."""
    return clean_text(text, hidden)
