"""Error rates of texts; case and punctuation do not count.

In words (WER), and in characters (CER) where a text is written without spaces.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import jiwer
import regex

_NOT_SAID = regex.compile(r"[^\p{L}\p{M}\p{N}]+")
_APOSTROPHES = regex.compile(r"['’ʼ]")
_SPACELESS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")


@dataclass(frozen=True, slots=True)
class Errors:
    """Substitutions, deletions and insertions, in `total` reference units."""

    unit: str
    """`WER` or `CER`."""
    count: int
    total: int

    @property
    def rate(self) -> float:
        return self.count / max(self.total, 1)


def errors(said: str, heard: str) -> Errors:
    """Errors in `heard`, compared with the reference `said`."""
    unit = "CER" if is_spaceless(said) else "WER"
    wanted, found = _units(said, unit), _units(heard, unit)
    if not wanted:
        return Errors(unit, len(found), 0)
    compared = jiwer.process_words(" ".join(wanted), " ".join(found))
    return Errors(unit, compared.substitutions + compared.deletions + compared.insertions, len(wanted))


def summed(some: Iterable[Errors]) -> list[Errors]:
    """Totals over many texts: one per unit; every word (or character) has the same weight."""
    given = list(some)
    of_unit = {unit: [one for one in given if one.unit == unit] for unit in ("WER", "CER")}
    return [
        Errors(unit, sum(one.count for one in ones), sum(one.total for one in ones))
        for unit, ones in of_unit.items()
        if ones
    ]


def plain(text: str) -> str:
    """Words in lower case, without punctuation; `it's` is one."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return str(_NOT_SAID.sub(" ", _APOSTROPHES.sub("", folded))).strip()


def is_spaceless(text: str) -> bool:
    """Whether most of the text is in a script without spaces between words."""
    letters = plain(text).replace(" ", "")
    return 2 * len(_SPACELESS.findall(letters)) > len(letters)


def _units(text: str, unit: str) -> list[str]:
    return list(plain(text).replace(" ", "")) if unit == "CER" else plain(text).split()
