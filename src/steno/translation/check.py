"""Validates an LLM's answer line by line: whether each line is a translation of its source."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping

SCRIPTS: dict[str, tuple[str, ...]] = {
    "zh": ("CJK",),
    "yue": ("CJK",),
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ko": ("HANGUL",),
    "ru": ("CYRILLIC",),
    "mk": ("CYRILLIC",),
    "uk": ("CYRILLIC",),
    "bg": ("CYRILLIC",),
    "ar": ("ARABIC",),
    "fa": ("ARABIC",),
    "el": ("GREEK",),
    "he": ("HEBREW",),
    "hi": ("DEVANAGARI",),
    "th": ("THAI",),
}
"""Prefixes of the Unicode names of each language's letters."""

LATIN = frozenset([
    "cs", "da", "de", "en", "es", "et", "fi", "fil", "fr", "hr", "hu", "id", "it", "lt", "lv", "ms", "nl", "no", "pl",
    "pt", "ro", "sk", "sl", "sv", "sw", "tr", "vi",
])  # fmt: skip
"""Languages in Latin script. A language in neither list may have any script."""

MIN_LETTERS = 12
"""Fewer letters may be a name, which is not translated."""

_FENCE = re.compile(r"^\s*```|```\s*$")
_TIMESTAMP = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?[.,]\d{2,3}|-->")
_MARKUP = re.compile(r"^\s*(?:\[?\d+\]?[.:)]\s|\{|\[\s*\{)")
_APOLOGY = re.compile(
    r"\b(as an ai\b|language model|i(?:'m| am) sorry,? (?:but )?i|i (?:cannot|can't|can not|am unable to) "
    r"(?:translate|help|assist|comply|process))",
    re.IGNORECASE,
)


def lines_of(answer: str) -> dict[int, str]:
    """The lines of an answer by index. A duplicate index is dropped; an answer that is not JSON has no lines.

    A fence around the JSON, or text before and after it, is tolerated: some servers have no structured output.
    """
    try:
        document = json.loads(_outermost(answer))
    except (ValueError, RecursionError):
        return {}
    entries = document.get("lines") if isinstance(document, dict) else document
    found: dict[int, str] = {}
    duplicates: set[int] = set()
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or type(entry.get("i")) is not int or not isinstance(entry.get("text"), str):
            continue
        if entry["i"] in found:
            duplicates.add(entry["i"])
        found[entry["i"]] = entry["text"]
    return {index: text for index, text in found.items() if index not in duplicates}


def problem_with(text: str, source: str, target: str, glossary: Mapping[str, str]) -> str | None:
    """Why `text` is not a valid translation of `source` into `target` (a code); None if it is."""
    if not text.strip():
        return "empty"
    if any("\ud800" <= char <= "\udfff" for char in text):
        return "encoding"
    if _FENCE.search(text) and not _FENCE.search(source):
        return "fenced"
    if _TIMESTAMP.search(text) and not _TIMESTAMP.search(source):
        return "timestamp"
    if _MARKUP.match(text) and not _MARKUP.match(source):
        return "markup"
    if _APOLOGY.search(text) and not _APOLOGY.search(source):
        return "apology"
    if not _plausible_length(text, source):
        return "length"
    if _is_unchanged(text, source):
        return "unchanged"
    if not _is_in_script(text, source, target):
        return "language"
    missing = [
        term
        for term, translation in glossary.items()
        if _contains_term(source, term) and translation.lower() not in text.lower()
    ]
    return f"glossary: {missing[0]}" if missing else None


def _outermost(answer: str) -> str:
    starts = [at for at in (answer.find("{"), answer.find("[")) if at >= 0]
    end = max(answer.rfind("}"), answer.rfind("]"))
    return answer[min(starts) : end + 1] if starts and end >= 0 else answer


def _plausible_length(text: str, source: str) -> bool:
    """Compared in columns: a CJK character counts as two Latin ones, and languages differ by a factor below four."""
    columns, base = _columns(text), _columns(source)
    return columns <= 4 * base + 40 and 4 * columns + 12 >= base


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text.strip())


def _is_unchanged(text: str, source: str) -> bool:
    words = source.split()
    return len(words) >= 5 and text.split() == words


def _is_in_script(text: str, source: str, target: str) -> bool:
    letters = [char for char in text if char.isalpha()]
    if len(letters) < MIN_LETTERS and sum(char.isalpha() for char in source) < MIN_LETTERS:
        return True
    base = target.partition("-")[0].lower()
    translation = SCRIPTS.get(base, ("LATIN",) if base in LATIN else ())
    if not translation:
        return True
    fitting = sum(unicodedata.name(char, "").startswith(translation) for char in letters)
    minimum = len(letters) // 2 if translation == ("LATIN",) else 1  # other scripts quote Latin names and brands freely
    return not letters or fitting >= minimum


def _contains_term(source: str, term: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(term)}(?!\w)", source, re.IGNORECASE) is not None
