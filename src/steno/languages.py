"""Names and ISO 639-1 codes of languages: requests give either, backends get codes, answers give names as OpenAI does.

The list is the union of what Qwen3-ASR and its aligner know (Cantonese has no two-letter code; `yue` is ISO 639-3).
"""

from __future__ import annotations

NAMES = {
    "ar": "Arabic",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fil": "Filipino",
    "fr": "French",
    "hi": "Hindi",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "mk": "Macedonian",
    "ms": "Malay",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "vi": "Vietnamese",
    "yue": "Cantonese",
    "zh": "Chinese",
}
_CODES = {name.lower(): code for code, name in NAMES.items()} | {code: code for code in NAMES}


def code_of(language: str) -> str | None:
    """The code for a code (`en`), a tag (`en-US`) or an English name (`English`), in any case; None if unknown."""
    wanted = language.strip().lower()
    return _CODES.get(wanted) or _CODES.get(wanted.replace("_", "-").partition("-")[0])


def name_of(code: str) -> str:
    """`en` → `English`; an unknown code stands for itself."""
    return NAMES.get(code, code)
