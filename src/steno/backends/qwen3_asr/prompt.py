"""What the model is asked: the tokens before and after those of the audio.

`prompt` and hot words come from strangers. They are capped, and every added token is taken out of them: `<|im_end|>`
would forge a turn, `<|audio_pad|>` would be taken for audio, and `<asr_text>` is not "special", so that the tokenizer's
own switch misses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from transformers import Qwen3ASRProcessor

LANGUAGES = {
    "ar": "Arabic",
    "yue": "Cantonese",
    "zh": "Chinese",
    "cs": "Czech",
    "da": "Danish",
    "nl": "Dutch",
    "en": "English",
    "fil": "Filipino",
    "fi": "Finnish",
    "fr": "French",
    "de": "German",
    "el": "Greek",
    "hi": "Hindi",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "mk": "Macedonian",
    "ms": "Malay",
    "fa": "Persian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "es": "Spanish",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "vi": "Vietnamese",
}
"""The names by which the model knows languages, by code: as in transformers' processor, known without importing it."""

CODES = {name.lower(): code for code, name in LANGUAGES.items()}

MAX_CONTEXT_TOKENS = 512
"""Of a longer context the end is kept: hot words stand behind the prompt."""

MAX_CONTEXT_CHARS = 16 * MAX_CONTEXT_TOKENS
"""More is cut before it is tokenised."""

Ids: TypeAlias = tuple[int, ...]


class PromptBuilder:
    """Prompts in the checkpoint's own chat template, split where the audio goes."""

    def __init__(self, processor: Qwen3ASRProcessor) -> None:
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self._without_added = TokenRemover(self._tokenizer.get_added_vocab())
        self._around = lru_cache(maxsize=256)(self._make)
        self._cleaned = lru_cache(maxsize=256)(self._clean)

    def around(self, context: str, language: str | None) -> tuple[Ids, Ids]:
        """Token ids before and after the audio's. `context` must be clean; `language`: ISO 639, None = detect."""
        return self._around(context, language)

    def clean(self, context: str) -> str:
        """`context` without added tokens, and no longer than `MAX_CONTEXT_TOKENS`."""
        return self._cleaned(context[-MAX_CONTEXT_CHARS:])

    def _clean(self, context: str) -> str:
        text = self._without_added(context).strip()
        if not text:
            return ""
        offsets = self._tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
        return text[offsets[-MAX_CONTEXT_TOKENS][0] :].strip() if len(offsets) > MAX_CONTEXT_TOKENS else text

    def _make(self, context: str, language: str | None) -> tuple[Ids, Ids]:
        (whole,) = self._processor.apply_transcription_request(
            [np.zeros(1, np.float32)],
            language=None if language is None else LANGUAGES[language],
            prompt=context or None,
            tokenize=False,
        )
        before, _, after = whole.partition(self._processor.audio_token)
        return self._ids(before), self._ids(after)

    def _ids(self, text: str) -> Ids:
        ids: Any = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return tuple(ids)


class TokenRemover:
    """Takes tokens out of texts, in a time that is proportional to the text's length.

    Its state is the longest end of the text so far with which a token begins (Aho and Corasick, 1975). States are kept
    on a stack beside the characters, so that after a token is taken out, what stands before it is gone on with: removal
    may bring another token together.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        known = set(tokens) - {""}
        self._starts = {"", *(token[:length] for token in known for length in range(1, len(token) + 1))}
        self._ending = {
            start: max((len(token) for token in known if start.endswith(token)), default=0) for start in self._starts
        }
        self._next: dict[tuple[str, str], str] = {}
        """Grows up to the pairs of a start and a character of a token: other characters lead to the empty start."""
        self._letters = {letter for token in known for letter in token}

    def __call__(self, text: str) -> str:
        """`text` without any of the tokens."""
        kept: list[str] = []
        states = [""]
        for letter in text:
            state = self._after(states[-1], letter)
            kept.append(letter)
            states.append(state)
            if length := self._ending[state]:
                del kept[-length:], states[-length:]
        return "".join(kept)

    def _after(self, state: str, letter: str) -> str:
        if letter not in self._letters:
            return ""
        known = self._next.get((state, letter))
        if known is None:
            known = state + letter
            while known not in self._starts:
                known = known[1:]
            self._next[state, letter] = known
        return known
