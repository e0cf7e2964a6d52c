"""The output parser: tokens → language, text, confidence per token. Also detects text leaked from the context."""

from __future__ import annotations

import math
import unicodedata
from codecs import getincrementaldecoder
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import numpy as np

from steno.alignment.confidence import mean
from steno.backends.qwen3_asr.prompt import CODES
from steno.types import Hypothesis, Score

if TYPE_CHECKING:
    from transformers import Qwen3ASRProcessor

SHORT_CHARS = 16
"""Length of one or two names, in characters."""

MIN_SIMILARITY = 0.5
"""`SequenceMatcher.ratio` of their letters from which two texts count as equal."""

REPEATS, REPEATED_CHARS = 20, 20
"""What transformers' `parse_output` removes: patterns of at most so many characters, that many times in a row."""


class OutputParser:
    """Decodes the tokens of one checkpoint."""

    def __init__(self, processor: Qwen3ASRProcessor) -> None:
        self._processor = processor
        self._tokenizer: Any = processor.tokenizer
        self._text_start_id: int = self._tokenizer.convert_tokens_to_ids("<asr_text>")

    def read(self, tokens: Sequence[int], logprobs: Sequence[float], language: str | None) -> Hypothesis:
        """Decode tokens into a hypothesis.

        Args:
            tokens: chosen greedily, without the stop token.
            logprobs: log-probability of each token.
            language: the forced language; the tokens are then text only. None = they start with a language header.
        """
        start = 0
        if language is None:
            if self._text_start_id not in tokens:
                return Hypothesis("", None)  # an incomplete header: text starts behind `<asr_text>`
            start = tokens.index(self._text_start_id) + 1
        named, text = self.parsed(self._tokenizer.decode(list(tokens), skip_special_tokens=True))
        if language is None:
            language = CODES.get(named.lower()) if named else None
        if not text:
            return Hypothesis("", None)
        scores = self._scores(text, tokens[start:], logprobs[start:])
        return Hypothesis(text, language, (), mean(scores), scores)

    def parsed(self, raw: str) -> tuple[str | None, str]:
        """Language name and text of the model's output, as transformers' `parse_output` gives them.

        It looks for repetitions in Python, at each character: a millisecond for half a minute of speech, in every step
        of every stream. It is asked for the whole output only where there can be one.
        """
        header, marker, text = raw.partition("<asr_text>")
        if "assistant\n" in raw or may_repeat(raw.strip()):
            parsed = self._processor.parse_output(raw)
            return parsed["language"], parsed["transcription"]
        if not marker:
            return None, raw.strip()
        return self._processor.parse_output(header + marker)["language"], text.strip()

    def covered(self, tokens: Sequence[int], language: str | None, stable: str) -> int:
        """How many leading tokens are covered by the `stable` text, language header included."""
        start = 0
        if language is None:
            if self._text_start_id not in tokens:
                return 0
            start = tokens.index(self._text_start_id) + 1
        text = self._tokenizer.decode(list(tokens[start:]), skip_special_tokens=True).strip()
        ends = [score.end for score in self._scores(text, tokens[start:], [0.0] * (len(tokens) - start))]
        covered_tokens = sum(1 for end in ends if end <= len(stable) and text[:end] == stable[:end])
        # A token that ends within a multi-byte character counts only once the character is complete.
        while covered_tokens and ends[covered_tokens - 1] == (ends[covered_tokens - 2] if covered_tokens > 1 else 0):
            covered_tokens -= 1
        return start + covered_tokens if covered_tokens else 0

    def _scores(self, text: str, tokens: Sequence[int], logprobs: Sequence[float]) -> tuple[Score, ...]:
        """The end of each token in `text`, with its probability. Empty if `text` is not the decoded tokens, because
        repetitions were removed."""
        byte_lengths = [len(piece) for piece in self._tokenizer.convert_ids_to_tokens(list(tokens))]
        decoded = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        if decoded.strip() != text or sum(byte_lengths) != len(decoded.encode()):
            return ()
        data = decoded.encode()
        decoder = getincrementaldecoder("utf-8")()  # counts a character once its last byte is there
        at = len(decoded.lstrip()) - len(decoded)
        scores: list[Score] = []
        end = 0
        for length, logprob in zip(byte_lengths, logprobs, strict=True):
            at += len(decoder.decode(data[end : end + length]))
            end += length
            scores.append(Score(min(max(at, 0), len(text)), math.exp(logprob)))
        return tuple(scores)


def may_repeat(text: str) -> bool:
    """Whether transformers' `parse_output` could find a repetition: a pattern of up to `REPEATED_CHARS` characters,
    `REPEATS` times in a row. Then the text equals itself, shifted by the pattern's length, over the other ones."""
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    return any(
        b"\x01" * ((REPEATS - 1) * length) in (characters[length:] == characters[:-length]).tobytes()
        for length in range(1, min(REPEATED_CHARS, len(characters) // REPEATS) + 1)
    )


def repeats_context(text: str, context: str) -> bool:
    """Whether `context` contains `text` word for word: it was spoken, or leaked from the context."""
    spoken, given = normalised(text), normalised(context)
    return bool(spoken) and f" {spoken} " in f" {given} "


def confirms(again: str, first: str) -> bool:
    """Whether the text of a second pass without a context confirms the first, which repeats its context.

    Names may be spelled very differently without a context, and spelling them is a context's purpose: a short text is
    confirmed by any text that is not much longer. A long text must be similar.
    """
    one, other = normalised(first), normalised(again)
    if not other:
        return False
    if len(one) <= SHORT_CHARS:
        return len(other) <= 2 * max(len(one), 3)
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= MIN_SIMILARITY


def normalised(text: str) -> str:
    """Lower-case words without punctuation; combining marks are kept."""
    characters = (char if char.isalnum() or unicodedata.category(char)[0] == "M" else " " for char in text.casefold())
    return " ".join("".join(characters).split())
