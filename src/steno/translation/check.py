"""Whether an LLM's answer is a translation of what it was asked: line by line, and nothing is believed."""

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
"""How the names of their letters begin in Unicode."""

LATIN = frozenset([
    "cs", "da", "de", "en", "es", "et", "fi", "fil", "fr", "hr", "hu", "id", "it", "lt", "lv", "ms", "nl", "no", "pl",
    "pt", "ro", "sk", "sl", "sv", "sw", "tr", "vi",
])  # fmt: skip
"""Written in Latin letters. A language that is in neither list may be written in any."""

ENOUGH_LETTERS = 12
"""Less may be a name, which stays as it is in any language."""

_FENCE = re.compile(r"^\s*```|```\s*$")
_TIMESTAMP = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?[.,]\d{2,3}|-->")
_MARKUP = re.compile(r"^\s*(?:\[?\d+\]?[.:)]\s|\{|\[\s*\{)")
_APOLOGY = re.compile(
    r"\b(as an ai\b|language model|i(?:'m| am) sorry,? (?:but )?i|i (?:cannot|can't|can not|am unable to) "
    r"(?:translate|help|assist|comply|process))",
    re.IGNORECASE,
)


def lines_of(answer: str) -> dict[int, str]:
    """The lines that an answer holds, by index; an index that comes twice is none, an answer that is no JSON is empty.

    A fence around all of the JSON, or words before and after it, are forgiven: some servers have no structured output.
    """
    try:
        document = json.loads(_outermost(answer))
    except (ValueError, RecursionError):
        return {}
    entries = document.get("lines") if isinstance(document, dict) else document
    found: dict[int, str] = {}
    doubled: set[int] = set()
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or type(entry.get("i")) is not int or not isinstance(entry.get("text"), str):
            continue
        if entry["i"] in found:
            doubled.add(entry["i"])
        found[entry["i"]] = entry["text"]
    return {index: text for index, text in found.items() if index not in doubled}


def problem_with(text: str, source: str, target: str, glossary: Mapping[str, str]) -> str | None:
    """What is wrong with `text` as the translation of `source` into `target` (a code), or None."""
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
    if _unchanged(text, source):
        return "unchanged"
    if not _in_script(text, source, target):
        return "language"
    missing = [term for term, wanted in glossary.items() if _says(source, term) and wanted.lower() not in text.lower()]
    return f"glossary: {missing[0]}" if missing else None


def _outermost(answer: str) -> str:
    starts = [at for at in (answer.find("{"), answer.find("[")) if at >= 0]
    end = max(answer.rfind("}"), answer.rfind("]"))
    return answer[min(starts) : end + 1] if starts and end >= 0 else answer


def _plausible_length(text: str, source: str) -> bool:
    """In columns: a CJK character is worth about two Latin ones, and languages differ by less than four times."""
    wide, base = _columns(text), _columns(source)
    return wide <= 4 * base + 40 and 4 * wide + 12 >= base


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text.strip())


def _unchanged(text: str, source: str) -> bool:
    words = source.split()
    return len(words) >= 5 and text.split() == words


def _in_script(text: str, source: str, target: str) -> bool:
    letters = [char for char in text if char.isalpha()]
    if len(letters) < ENOUGH_LETTERS and sum(char.isalpha() for char in source) < ENOUGH_LETTERS:
        return True
    base = target.partition("-")[0].lower()
    wanted = SCRIPTS.get(base, ("LATIN",) if base in LATIN else ())
    if not wanted:
        return True
    fitting = sum(unicodedata.name(char, "").startswith(wanted) for char in letters)
    enough = len(letters) // 2 if wanted == ("LATIN",) else 1  # other scripts quote Latin names and brands freely
    return not letters or fitting >= enough


def _says(source: str, term: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(term)}(?!\w)", source, re.IGNORECASE) is not None
