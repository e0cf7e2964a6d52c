"""Names and ISO 639-1 codes of languages. Requests use either, backends get codes, responses have names as OpenAI's do.

The list is the union of the languages of Qwen3-ASR and its aligner (Cantonese has no two-letter code; `yue` is ISO
639-3).
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
_ISO_639_2 = {
    "ar": "ara", "cs": "cze ces", "da": "dan", "de": "ger deu", "el": "gre ell", "en": "eng", "es": "spa",
    "fa": "per fas", "fi": "fin", "fil": "tl tgl", "fr": "fre fra", "hi": "hin", "hu": "hun", "id": "ind", "it": "ita",
    "ja": "jpn", "ko": "kor", "mk": "mac mkd", "ms": "may msa", "nl": "dut nld", "pl": "pol", "pt": "por",
    "ro": "rum ron", "ru": "rus", "sv": "swe", "th": "tha", "tr": "tur", "vi": "vie", "zh": "chi zho cmn",
}  # fmt: skip
"""ISO 639-2 codes, bibliographic and terminological, by code in `NAMES`; and `tl`, Whisper's code of Filipino."""

_OTHER_NAMES = {
    "mandarin": "zh", "castilian": "es", "flemish": "nl", "farsi": "fa", "tagalog": "fil", "moldavian": "ro",
    "moldovan": "ro",
}  # fmt: skip
"""Further names in Whisper's list of languages."""

_CODES = {
    **{name.lower(): code for code, name in NAMES.items()},
    **{code: code for code in NAMES},
    **{other: code for code, others in _ISO_639_2.items() for other in others.split()},
    **_OTHER_NAMES,
}


def code_of(language: str) -> str | None:
    """The code for a code (`en`, `eng`), a tag (`en-US`) or an English name, in any case; None if unknown."""
    name = language.strip().lower()
    return _CODES.get(name) or _CODES.get(name.replace("_", "-").partition("-")[0])


def name_of(code: str) -> str:
    """`en` → `English`; an unknown code is returned unchanged."""
    return NAMES.get(code, code)
