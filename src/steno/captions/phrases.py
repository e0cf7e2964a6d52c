"""Phrase boundaries of Chinese, Japanese and Thai, where lines may break although there are no spaces.

BudouX is a small classifier over neighbouring characters (Apache 2.0, 30 to 60 KB per language); it is loaded with the
first such text. Its phrases are a preference, never a condition, because it makes errors.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import regex

from steno.languages import code_of

if TYPE_CHECKING:
    from budoux import Parser

_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
_HAN = regex.compile(r"\p{Han}")
_THAI = regex.compile(r"\p{Thai}")


def phrase_starts(text: str, language: str | None) -> frozenset[int] | None:
    """Positions at which a phrase starts; None if the text is not in one of these scripts."""
    model = _model(text, language)
    if model is None:
        return None
    starts, at = [], 0
    for phrase in _parser(model).parse(text):
        starts.append(at)
        at += len(phrase)
    return frozenset(starts)


def _model(text: str, language: str | None) -> str | None:
    if _KANA.search(text):
        return "ja"
    if _HAN.search(text):
        code = code_of(language) if language else None
        return {"ja": "ja", "yue": "zh-hant"}.get(code or "", "zh-hans")
    return "th" if _THAI.search(text) else None


@cache
def _parser(model: str) -> Parser:
    import budoux

    load = {
        "ja": budoux.load_default_japanese_parser,
        "zh-hans": budoux.load_default_simplified_chinese_parser,
        "zh-hant": budoux.load_default_traditional_chinese_parser,
        "th": budoux.load_default_thai_parser,
    }
    return load[model]()
