"""Local agreement: derives stable and draft text from successive hypotheses.

A token becomes stable once successive hypotheses agree on it, and on all before it, over `hold_s` of audio
(LocalAgreement-2 of Liu et al. 2020, arXiv:2005.11185, with a time instead of a count). Stable text is never revised:
a later hypothesis that starts differently is changed to start with it, by finding where the stable text ends in it:
by the times of words if the recogniser has them, else by the edit distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import regex

from steno.captions.script import needs_space
from steno.types import Hypothesis, Word

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_TOKEN = regex.compile(rf"\s*(?:[{_UNSPACED}]\p{{M}}*|[^\s{_UNSPACED}]+)")
MAX_REPEATED_WORDS = 4
SAME_MOMENT_S = 0.15
"""A word that starts at most this long after the end of an equal stable word may be that word, recognised later."""

_LETTERS = regex.compile(r"[^\p{L}\p{M}\p{N}]+")


@dataclass(frozen=True, slots=True)
class StableHypothesis:
    """A hypothesis that starts with the stable text. Word times are the hypothesis's own."""

    stable: str
    draft: str
    words: tuple[Word, ...] = ()
    """All words of the text, or none."""
    diverged: bool = False

    @property
    def text(self) -> str:
        return self.stable + self.draft


class LocalAgreement:
    """Tracks the hypotheses of one utterance."""

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._tokens: list[str] = []
        self._agreeing: list[str] = []
        """Tokens of the last hypothesis that may make text stable (`Hypothesis.settles`)."""
        self._stable_since: list[float] = []
        """For each of these tokens, the audio length since which hypotheses have agreed on it."""
        self._stable = 0
        self._words: list[_PlacedWord] = []

    @property
    def stable(self) -> str:
        return "".join(self._tokens[: self._stable])

    def update(self, hypothesis: Hypothesis, audio_s: float) -> StableHypothesis:
        """Take a hypothesis of the first `audio_s` seconds."""
        diverged = self._take(hypothesis)
        if not hypothesis.settles:
            return self._result(diverged)
        agreed = _common(self._agreeing, self._tokens)
        self._agreeing = self._tokens
        self._stable_since = self._stable_since[:agreed] + [audio_s] * (len(self._tokens) - agreed)
        stable_count = sum(
            1 for _ in takewhile(lambda since: audio_s - since >= self._hold_s, self._stable_since[:agreed])
        )
        self._stable = max(self._stable, stable_count)
        return self._result(diverged)

    def finish(self, hypothesis: Hypothesis) -> StableHypothesis:
        """Take the final hypothesis; all of it becomes stable."""
        diverged = self._take(hypothesis) or hypothesis.diverged
        self._stable = len(self._tokens)
        return self._result(diverged)

    def _take(self, hypothesis: Hypothesis) -> bool:
        """Make `hypothesis` start with the stable text. Returns whether it had to be changed."""
        text = hypothesis.text.strip()
        tokens = _TOKEN.findall(text)
        stable = self._tokens[: self._stable]
        words = _locate(text, hypothesis.words)
        if tokens[: self._stable] == stable:
            self._tokens, self._words = tokens, words
            return False
        kept_chars = len("".join(stable))
        kept = [placed for placed in self._words if placed.end <= kept_chars]
        if words and kept and kept[-1].end == kept_chars:
            matched = _tokens_before(tokens, _join_by_time(kept, words))
        else:
            matched = _matching_prefix(stable, tokens)
        rest = tokens[matched:]
        if rest and stable and not rest[0][0].isspace() and needs_space(stable[-1][-1], rest[0][0]):
            rest[0] = " " + rest[0]
        dropped_chars = len(text) - len("".join(tokens[matched:]))
        shift = kept_chars + len("".join(rest)) - len(text)
        self._words = kept + _words_after(words, dropped_chars, shift, kept)
        self._tokens = stable + rest
        return True

    def _result(self, diverged: bool) -> StableHypothesis:
        draft = "".join(self._tokens[self._stable :])
        words = tuple(placed.word for placed in self._words)
        is_whole = _without_spaces(*(word.text for word in words)) == _without_spaces(*self._tokens)
        return StableHypothesis(self.stable, draft, words if is_whole else (), diverged)


@dataclass(frozen=True, slots=True)
class _PlacedWord:
    """A word and its characters [start, end) in the text."""

    word: Word
    start: int
    end: int


def _locate(text: str, words: Sequence[Word]) -> list[_PlacedWord]:
    """The words located in `text`; empty if one is not found."""
    found: list[_PlacedWord] = []
    position = 0
    for word in words:
        start = text.find(word.text, position)
        if start < 0:
            return []
        position = start + len(word.text)
        found.append(_PlacedWord(word, start, position))
    return found


def _join_by_time(stable: Sequence[_PlacedWord], words: Sequence[_PlacedWord]) -> int | None:
    """The character at which the part of a hypothesis starts that follows the stable words; None = nothing follows.

    A word belongs to the side of the boundary that its middle is on. Recognisers move words between hypotheses: words
    that repeat the last stable ones at the same moment are those words, and are skipped.
    """
    boundary_s = stable[-1].word.end_s
    first = next((n for n, placed in enumerate(words) if _middle_s(placed.word) >= boundary_s), len(words))
    for count in range(min(MAX_REPEATED_WORDS, len(stable), len(words) - first), 0, -1):
        pairs = zip(stable[-count:], words[first : first + count], strict=True)
        if all(_is_same_moment(known.word, repeated.word) for known, repeated in pairs):
            first += count
            break
    return words[first].start if first < len(words) else None


def _tokens_before(tokens: Sequence[str], character: int | None) -> int:
    """How many tokens start before `character`, not counting their white space; all of them if it is None."""
    if character is None:
        return len(tokens)
    position = 0
    for count, token in enumerate(tokens):
        first = position + len(token) - len(token.lstrip())
        if first >= character:
            return count
        position += len(token)
    return len(tokens)


def _is_same_moment(known: Word, repeated: Word) -> bool:
    return _normalised(known.text) == _normalised(repeated.text) and repeated.start_s < known.end_s + SAME_MOMENT_S


def _middle_s(word: Word) -> float:
    return (word.start_s + word.end_s) / 2


def _words_after(
    words: Sequence[_PlacedWord], dropped_chars: int, shift: int, kept: Sequence[_PlacedWord]
) -> list[_PlacedWord]:
    """The words behind `dropped_chars`, moved by `shift` characters and not earlier than the last kept word."""
    earliest_s = kept[-1].word.end_s if kept else 0.0
    moved: list[_PlacedWord] = []
    for placed in words:
        if placed.start >= dropped_chars:
            word = placed.word
            start_s = max(word.start_s, earliest_s)
            word = replace(word, start_s=start_s, end_s=max(word.end_s, start_s))
            moved.append(_PlacedWord(word, placed.start + shift, placed.end + shift))
    return moved


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _matching_prefix(stable: Sequence[str], tokens: Sequence[str]) -> int:
    """How many of `tokens` correspond to `stable`: the prefix with the smallest edit distance, and among these the one
    closest in length. Case and punctuation are ignored."""
    stable_words, new_words = [_normalised(token) for token in stable], [_normalised(token) for token in tokens]
    same = _common(stable_words, new_words)
    stable_words, new_words = stable_words[same:], new_words[same:]
    row = list(range(len(new_words) + 1))
    for n, token in enumerate(stable_words, 1):
        last, row[0] = row[0], n
        for m, other in enumerate(new_words, 1):
            last, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, last + (token != other))
    return same + min(range(len(row)), key=lambda m: (row[m], abs(m - len(stable_words))))


def _without_spaces(*texts: str) -> str:
    return "".join("".join(texts).split())


def _normalised(token: str) -> str:
    return _LETTERS.sub("", token).casefold() or token.strip()
