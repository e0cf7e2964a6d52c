"""Tokens → what was said: the language that the model names, the text, and how sure it was of each token."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from steno.alignment.confidence import mean
from steno.backends.qwen3_asr.prompt import CODES
from steno.types import Hypothesis, Score

if TYPE_CHECKING:
    from transformers import Qwen3ASRProcessor

SHORT = 16
"""Characters of a name or two."""

LIKE = 0.5
"""From here on two texts say much the same: `SequenceMatcher.ratio` of their letters."""


class OutputParser:
    """What the tokens of one checkpoint mean."""

    def __init__(self, processor: Qwen3ASRProcessor) -> None:
        self._processor = processor
        self._tokenizer: Any = processor.tokenizer
        self._mark: int = self._tokenizer.convert_tokens_to_ids("<asr_text>")

    def read(self, tokens: Sequence[int], certainty: Sequence[float], language: str | None) -> Hypothesis:
        """Of greedily chosen `tokens`, without the end token, and the log-probability of each.

        `language` is the one that was forced: then the tokens are text alone.
        """
        start = 0
        if language is None:
            if self._mark not in tokens:
                return Hypothesis("", None)  # a header that was cut off: no text begins before the mark
            start = tokens.index(self._mark) + 1
        raw = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        parsed = self._processor.parse_output(raw)
        text: str = parsed["transcription"]
        if language is None:
            named = parsed["language"]
            language = CODES.get(named.lower()) if named else None
        if not text:
            return Hypothesis("", None)
        scores = self._scores(text, tokens[start:], certainty[start:])
        return Hypothesis(text, language, (), mean(scores), scores)

    def covered(self, tokens: Sequence[int], language: str | None, stable: str) -> int:
        """How many of `tokens`, from the first, say nothing but what is `stable`: the language and its text."""
        start = 0
        if language is None:
            if self._mark not in tokens:
                return 0
            start = tokens.index(self._mark) + 1
        text = self._tokenizer.decode(list(tokens[start:]), skip_special_tokens=True).strip()
        ends = [score.end for score in self._scores(text, tokens[start:], [0.0] * (len(tokens) - start))]
        said = sum(1 for end in ends if end <= len(stable) and text[:end] == stable[:end])
        # A token that ends within a character adds none: it is not known to be right before that is complete.
        while said and ends[said - 1] == (ends[said - 2] if said > 1 else 0):
            said -= 1
        return start + said if said else 0

    def _scores(self, text: str, tokens: Sequence[int], certainty: Sequence[float]) -> tuple[Score, ...]:
        """Where in `text` each token ends. Nothing where `text` is not what they spell: repetitions were taken out."""
        pieces = [len(piece) for piece in self._tokenizer.convert_ids_to_tokens(list(tokens))]
        spelled = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        if spelled.strip() != text or sum(pieces) != len(spelled.encode()):
            return ()
        data = spelled.encode()
        before = len(spelled) - len(spelled.lstrip())
        scores: list[Score] = []
        end = 0
        for length, logprob in zip(pieces, certainty, strict=True):
            end += length
            at = len(data[:end].decode(errors="ignore")) - before
            scores.append(Score(min(max(at, 0), len(text)), math.exp(logprob)))
        return tuple(scores)


def repeats_context(text: str, context: str) -> bool:
    """Whether `text` stands in `context`, word for word: said, or leaked from it?"""
    heard, given = letters(text), letters(context)
    return bool(heard) and f" {heard} " in f" {given} "


def confirms(again: str, first: str) -> bool:
    """Whether what was heard `again`, without a context, confirms the text that stands in it.

    A name may sound like something else altogether on paper, and to spell it is what contexts are for: a short text is
    confirmed by anything that is no longer by much. A long one must say much the same.
    """
    one, other = letters(first), letters(again)
    if not other:
        return False
    if len(one) <= SHORT:
        return len(other) <= 2 * max(len(one), 3)
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= LIKE


def letters(text: str) -> str:
    """Words in lower case, without punctuation; marks belong to their letters."""
    kept = (char if char.isalnum() or unicodedata.category(char)[0] == "M" else " " for char in text.casefold())
    return " ".join("".join(kept).split())
