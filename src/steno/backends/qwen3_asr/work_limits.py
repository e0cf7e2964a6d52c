"""Which work the model family takes: languages, max audio, and max tokens of text for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steno.backends.qwen3_asr.prompt import LANGUAGES
from steno.errors import AudioTooLongError, UnsupportedLanguageError
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.base import Recognize

MAX_AUDIO_S = 40.0

TOKENS_PER_S = 30
"""Max text tokens per second of audio: twice the rate of fast Greek or Hindi, where a token is about a letter (English
has three). Only repetition loops reach it."""

MIN_TOKENS = 24
"""Max text tokens of very short audio: enough for the language header and a word."""

PROMPT_TOKENS = 64 + round(13 * MAX_AUDIO_S)
"""Prompt tokens for the longest audio, without a context."""


def token_limit(seconds: float) -> int:
    """Max tokens of text for `seconds` of audio."""
    return MIN_TOKENS + round(TOKENS_PER_S * seconds)


def check_work(work: Recognize, backend: str) -> None:
    """Raises UnsupportedLanguageError, AudioTooLongError. `backend`: its name, for the message."""
    if work.language is not None and work.language not in LANGUAGES:
        raise UnsupportedLanguageError(f"Qwen3-ASR does not support the language {work.language!r}", param="language")
    if len(work.audio) > MAX_AUDIO_S * SAMPLE_RATE:
        seconds = len(work.audio) / SAMPLE_RATE
        raise AudioTooLongError(
            f"backend {backend!r} takes at most {MAX_AUDIO_S:.0f} s of audio; this is {seconds:.1f} s"
        )
