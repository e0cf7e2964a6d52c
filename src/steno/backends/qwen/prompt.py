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


class Prompter:
    """Prompts in the checkpoint's own chat template, split where the audio goes."""

    def __init__(self, processor: Qwen3ASRProcessor) -> None:
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self._added = sorted(self._tokenizer.get_added_vocab(), key=len, reverse=True)
        self._around = lru_cache(maxsize=256)(self._make)
        self._cleaned = lru_cache(maxsize=256)(self._clean)

    def around(self, context: str, language: str | None) -> tuple[Ids, Ids]:
        """Token ids before and after the audio's. `context` must be clean; `language`: ISO 639, None = detect."""
        return self._around(context, language)

    def clean(self, context: str) -> str:
        """`context` without added tokens, and no longer than `MAX_CONTEXT_TOKENS`."""
        return self._cleaned(context[-MAX_CONTEXT_CHARS:])

    def _clean(self, context: str) -> str:
        text = without(context, self._added).strip()
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


def without(text: str, tokens: Iterable[str]) -> str:
    """`text` with every occurrence of `tokens` removed, also of those that their removal brings together."""
    known = list(tokens)
    before = None
    while before != text:
        before = text
        for token in known:
            text = text.replace(token, "")
    return text
