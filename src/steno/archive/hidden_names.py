"""Finds names of people in a text, whatever characters they have, and hides them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

MIN_NAME_CHARS, MIN_UNSPACED_CHARS = 5, 3
"""A shorter name is only hidden after an `@`: it may be a word. The second is for names of an unspaced script."""

_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
"""Scripts whose words are not spaced, or (Hangul) have particles: a name may be next to other letters."""
_HANDLE = re.compile(r"\w+(?:[.-]\w+)*")
_CORE = re.compile(r"\w(?:.*\w)?", re.DOTALL)
_ONE_WORD = re.compile(r"\w+")
_KEY_CHARS = 2


@dataclass(frozen=True, slots=True)
class _Index:
    names: frozenset[str]
    """Casefolded."""
    lengths: dict[str, list[int]]
    """Of the names with these first characters, the longest first."""


@lru_cache(maxsize=8)
def hidden_names(names: frozenset[str]) -> HiddenNames:
    """The same object for the same names: an index of them takes time."""
    return HiddenNames(names)


class HiddenNames:
    """Names to hide; symbols around a name are no part of it."""

    def __init__(self, names: Iterable[str]) -> None:
        cores = {found[0] for name in names if (found := _CORE.search(name.casefold())) and len(found[0]) > 1}
        self._all = _index(cores)
        self._with_symbols = _index(core for core in cores if _ONE_WORD.fullmatch(core) is None)

    def hide(self, text: str, mark: str, counts: Counter[str]) -> str:
        """Put `mark` for each `@mention` and each name, and count both."""
        return self._hidden(text, mark, counts, self._all, any_mention=True)

    def hide_before_links(self, text: str, mark: str, counts: Counter[str]) -> str:
        """The same for names alone that have symbols, and would be taken for links: not for parts of links."""
        return self._hidden(text, mark, counts, self._with_symbols, any_mention=False)

    def _hidden(self, text: str, mark: str, counts: Counter[str], names: _Index, *, any_mention: bool) -> str:
        if not names.names and not (any_mention and "@" in text):
            return text
        folded, origins = _folded(text)
        parts, done, at = [], 0, 0
        while at < len(folded):
            is_mention = folded[at] == "@" and not _is_word(folded, at - 1)
            end = _end_of_name(folded, at + is_mention, names, is_mention=is_mention)
            if not any_mention and _goes_on(folded, end):
                end = 0
            if is_mention and any_mention and (handle := _HANDLE.match(folded, at + 1)):
                end = max(end, handle.end())
            if end:
                parts += [text[done : origins[at]], mark]
                counts["mention" if is_mention else "name"] += 1
                done = origins[end]
            at = end or at + 1
        return "".join([*parts, text[done:]])


def _index(names: Iterable[str]) -> _Index:
    lengths: defaultdict[str, set[int]] = defaultdict(set)
    for name in (all_names := frozenset(names)):
        lengths[name[:_KEY_CHARS]].add(len(name))
    return _Index(all_names, {start: sorted(found, reverse=True) for start, found in lengths.items()})


def _folded(text: str) -> tuple[str, range | list[int]]:
    """The text casefolded, and the place in `text` of each of its characters and of its end."""
    folded = text.casefold()
    if len(folded) == len(text):
        return folded, range(len(text) + 1)
    origins = [at for at, char in enumerate(text) for _ in char.casefold()]
    return folded, [*origins, len(text)]


def _end_of_name(folded: str, at: int, names: _Index, *, is_mention: bool) -> int:
    """Where the longest name that begins here ends; 0 = none does."""
    lengths = names.lengths.get(folded[at : at + _KEY_CHARS])
    if lengths is None or (_is_word(folded, at - 1) and _UNSPACED.match(folded[at]) is None):
        return 0
    for length in lengths:
        name = folded[at : at + length]
        end = at + len(name)
        if name not in names.names or (_is_word(folded, end) and _UNSPACED.match(name[-1]) is None):
            continue
        shortest = MIN_UNSPACED_CHARS if _UNSPACED.search(name) else MIN_NAME_CHARS
        if is_mention or len(name) >= shortest:
            return end
    return 0


def _goes_on(folded: str, end: int) -> bool:
    """Whether an address or a domain goes on after a name."""
    following = folded[end : end + 1]
    return following == "@" or (following in (".", "-") and _is_word(folded, end + 1))


def _is_word(folded: str, at: int) -> bool:
    return 0 <= at < len(folded) and (folded[at].isalnum() or folded[at] == "_")
