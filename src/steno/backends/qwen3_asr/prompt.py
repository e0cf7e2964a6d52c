"""The prompt builder: token ids before and after the audio's, languages, and cleaning of untrusted text.

`prompt` and hot words are untrusted input. They are capped, and every added token is removed: `<|im_end|>` would forge
a turn, `<|audio_pad|>` would be taken for audio, and `<asr_text>` is not "special", so that the tokenizer's own switch
misses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from steno.backends.drafts import Ids

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
"""The model's language names by ISO 639 code, as in transformers' processor, but without importing it."""

CODES = {name.lower(): code for code, name in LANGUAGES.items()}

MAX_CONTEXT_TOKENS = 512
"""Max tokens of a context. The end of a longer one is kept, because hot words follow the prompt."""

MAX_CONTEXT_CHARS = 16 * MAX_CONTEXT_TOKENS
"""Max characters of a context that are tokenised."""


class PromptBuilder:
    """Prompts in the checkpoint's own chat template, split where the audio goes."""

    def __init__(self, processor: Qwen3ASRProcessor) -> None:
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self._without_added = TokenRemover(self._tokenizer.get_added_vocab())
        self._around_cached = lru_cache(maxsize=256)(self._build)
        self._clean_cached = lru_cache(maxsize=256)(self._clean)

    def around(self, context: str, language: str | None) -> tuple[Ids, Ids]:
        """Token ids before and after the audio's. `context`: from `clean`; `language`: ISO 639, None = detect."""
        return self._around_cached(context, language)

    def clean(self, context: str) -> str:
        """`context` without added tokens, and no longer than `MAX_CONTEXT_TOKENS`."""
        return self._clean_cached(context[-MAX_CONTEXT_CHARS:])

    def _clean(self, context: str) -> str:
        text = self._without_added(context).strip()
        if not text:
            return ""
        offsets = self._tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
        return text[offsets[-MAX_CONTEXT_TOKENS][0] :].strip() if len(offsets) > MAX_CONTEXT_TOKENS else text

    def _build(self, context: str, language: str | None) -> tuple[Ids, Ids]:
        # As `Qwen3ASRProcessor.apply_transcription_request` does, which returns text only from transformers 5.22 on.
        name = None if language is None else LANGUAGES[language]
        conversation: list[dict[str, Any]] = [
            *([{"role": "system", "content": [{"type": "text", "text": context}]}] if context else []),
            {"role": "user", "content": [{"type": "audio", "audio": ""}]},
            {"role": "assistant", "content": [{"type": "text", "text": f"language {name}<asr_text>" if name else ""}]},
        ]
        whole = self._processor.apply_chat_template(conversation, tokenize=False, continue_final_message=True)
        before, _, after = whole.partition(self._processor.audio_token)
        return self._ids(before), self._ids(after)

    def _ids(self, text: str) -> Ids:
        ids: Any = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return tuple(ids)


class TokenRemover:
    """Removes tokens from texts in linear time.

    The automaton's state is the longest suffix of the text so far that is a prefix of a token (Aho and Corasick, 1975).
    States are kept on a stack beside the characters: after a removal, matching continues with the text before it,
    because a removal may bring the parts of another token together.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        tokens = set(tokens) - {""}
        self._prefixes = {"", *(token[:length] for token in tokens for length in range(1, len(token) + 1))}
        self._complete = {
            start: max((len(token) for token in tokens if start.endswith(token)), default=0) for start in self._prefixes
        }
        self._next: dict[tuple[str, str], str] = {}
        """Cached transitions; at most one for each pair of a prefix and a character of a token."""
        self._letters = {letter for token in tokens for letter in token}

    def __call__(self, text: str) -> str:
        """`text` without any of the tokens."""
        kept: list[str] = []
        states = [""]
        for letter in text:
            state = self._after(states[-1], letter)
            kept.append(letter)
            states.append(state)
            if length := self._complete[state]:
                del kept[-length:], states[-length:]
        return "".join(kept)

    def _after(self, state: str, letter: str) -> str:
        if letter not in self._letters:
            return ""
        tokens = self._next.get((state, letter))
        if tokens is None:
            tokens = state + letter
            while tokens not in self._prefixes:
                tokens = tokens[1:]
            self._next[state, letter] = tokens
        return tokens
