"""A token of a text → the English words that are spoken for it: `$3.50` → three dollars and fifty cents.

Words consist of lower-case a–z and apostrophes. A token without a pronunciation (`—`, emoji, other scripts) gives none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import TypeAlias

Known: TypeAlias = Callable[[str], bool]
"""Whether the dictionary has a word."""

_LETTERS = str.maketrans(
    {"’": "'", "‘": "'", "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
    | {"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i"}
)
"""Letters that NFKD does not decompose."""

_SIGNS = {
    "&": ["and"],
    "@": ["at"],
    "+": ["plus"],
    "=": ["equals"],
    "%": ["percent"],
    "°": ["degrees"],
    "#": ["number"],
}

_SHORT_FORMS = {
    "dr": ["doctor"],
    "mr": ["mister"],
    "mrs": ["missus"],
    "st": ["saint"],
    "vs": ["versus"],
    "etc": ["et", "cetera"],
    "jr": ["junior"],
    "sr": ["senior"],
}
"""Abbreviations. The dictionary reads some of them differently (`dr.` is a drive there)."""

_MONEY = {"$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent")}

_PART = re.compile(
    r"(?P<money>[$£€](?P<units>\d[\d,]*)(?:\.(?P<hundredths>\d\d)(?!\d))?)"
    r"|(?P<time>(?P<hours>\d{1,2}):(?P<minutes>[0-5]\d)(?!\d))"
    r"|(?P<ordinal>(?P<nth>\d[\d,]*)(?:st|nd|rd|th)(?![a-z]))"
    r"|(?P<decade>(?P<ten>(?:\d\d)?\d0)'?s(?![a-z]))"
    r"|(?P<number>\d+(?:,\d{3})*(?:\.\d+)?)"
    r"|(?P<initials>(?:[a-z]\.){2,}|(?<=\d)[ap]m(?![a-z]))"
    r"|(?P<dot>(?<=[a-z])\.(?=[a-z]))"
    r"|(?P<word>'?[a-z]+(?:'[a-z]+)*)"
    r"|(?P<sign>[&@+=%°#])",
    re.IGNORECASE,
)

_PUNCTUATION = '.,;:!?"()[]{}«»“”…'

_IN_DICTIONARY = re.compile("[a-z'-]+")
"""Tokens that are looked up as a whole: `well-known` has an entry; `and(2)` is not a word."""

_DIGITS_AS_NUMBER = 12
"""Longer numbers, and those with a leading zero, are read digit by digit."""


def spoken(token: str, known: Known) -> list[str]:
    """The words spoken for `token`, a run of text without white space."""
    plain = _plain(token)
    whole = plain.lower().strip(_PUNCTUATION)
    if _IN_DICTIONARY.fullmatch(whole) and whole not in _SHORT_FORMS and known(whole):
        return [whole]
    return [word for part in _PART.finditer(plain) for word in _said(part, known)]


def _plain(token: str) -> str:
    decomposed = unicodedata.normalize("NFKD", token.translate(_LETTERS))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _said(part: re.Match[str], known: Known) -> list[str]:
    text = part.group()
    match part.lastgroup:
        case "money":
            return _money(text[0], part["units"], part["hundredths"])
        case "time":
            return _time(part["hours"], part["minutes"])
        case "ordinal":
            return _number(part["nth"], ordinal=True)
        case "decade":
            return _plural(_number(part["ten"], year=len(part["ten"]) == 4))
        case "number":
            return _number(text, year=re.fullmatch(r"1[1-9]\d\d|20[1-9]\d", text) is not None)
        case "initials":
            return list(text.lower().replace(".", ""))
        case "dot":
            return ["dot"]
        case "sign":
            return _SIGNS[text]
        case _:
            return _word(text, known)


def _word(text: str, known: Known) -> list[str]:
    word = text.lower()
    if word in _SHORT_FORMS:
        return _SHORT_FORMS[word]
    if known(word):
        return [word]
    bare = text.strip("'")
    if bare.lower().endswith("'s"):
        *before, last = _word(bare[:-2], known)
        return [*before, f"{last}'s"]
    word = bare.lower().replace("'", "")
    is_spelt = not re.search("[aeiouy]", word) or (bare.isupper() and len(bare) <= 3)
    return list(word) if is_spelt and not known(word) else [word]


def _money(sign: str, units: str, hundredths: str | None) -> list[str]:
    unit, hundredth = _MONEY[sign]
    words = [*_number(units), unit if units == "1" else f"{unit}s"]
    if hundredths and int(hundredths):
        pennies = "pence" if hundredth == "penny" else f"{hundredth}s"
        words += ["and", *_number(str(int(hundredths))), hundredth if hundredths == "01" else pennies]
    return words


def _time(hours: str, minutes: str) -> list[str]:
    if minutes == "00":
        return _number(str(int(hours)))
    return [*_number(str(int(hours))), *(["oh"] if minutes[0] == "0" else []), *_number(str(int(minutes)))]


def _plural(words: list[str]) -> list[str]:
    last = words[-1]
    return [*words[:-1], f"{last[:-1]}ies" if last.endswith("y") else f"{last}s"]


def _number(digits: str, *, ordinal: bool = False, year: bool = False) -> list[str]:
    from num2words import num2words  # 25 ms: only for texts with numbers

    digits = digits.replace(",", "")
    whole = digits.partition(".")[0]
    if len(whole) > _DIGITS_AS_NUMBER or (len(whole) > 1 and whole.startswith("0")):
        return list(_digit_by_digit(digits))
    if ordinal:
        return _letters_of(num2words(int(whole), to="ordinal"))
    if year:
        return _letters_of(num2words(int(whole), to="year"))
    _, point, decimals = digits.partition(".")
    return [*_letters_of(num2words(int(whole))), *(["point", *_digit_by_digit(decimals)] if point else [])]


def _digit_by_digit(digits: str) -> Iterator[str]:
    from num2words import num2words

    for digit in digits:
        yield "point" if digit == "." else num2words(int(digit))


def _letters_of(text: str) -> list[str]:
    return re.findall("[a-z]+", text)
