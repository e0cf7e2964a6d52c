"""From hypotheses that keep changing to text that can be trusted: stable, draft, final.

A token becomes stable once successive hypotheses have agreed on it, and on all before it, over `hold_s` of audio
(LocalAgreement-2 of Liu et al. 2020, arXiv:2005.11185, with a time in place of a count). Stable text is never revised:
a later hypothesis that begins otherwise is made to fit, by looking up where in it the stable text ends.
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
_LETTERS = regex.compile(r"[^\p{L}\p{M}\p{N}]+")


@dataclass(frozen=True, slots=True)
class StableHypothesis:
    """A hypothesis that begins with all that is stable. Word times are the hypothesis's own."""

    stable: str
    draft: str
    words: tuple[Word, ...] = ()
    """All of the text's, or none."""
    diverged: bool = False

    @property
    def text(self) -> str:
        return self.stable + self.draft


class LocalAgreement:
    """Follows the hypotheses of one utterance."""

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._tokens: list[str] = []
        self._settling: list[str] = []
        """The last tokens by which text becomes stable: not a quick model's, where a better one follows."""
        self._since: list[float] = []
        """For each of them, the audio's length when it was first heard there and has been ever since."""
        self._stable = 0
        self._words: list[_PlacedWord] = []

    @property
    def stable(self) -> str:
        return "".join(self._tokens[: self._stable])

    def update(self, hypothesis: Hypothesis, audio_s: float) -> StableHypothesis:
        """Take a hypothesis of the first `audio_s` seconds."""
        diverged = self._take(hypothesis)
        if not hypothesis.settles:
            return self._reading(diverged)
        agreed = _common(self._settling, self._tokens)
        self._settling = self._tokens
        self._since = self._since[:agreed] + [audio_s] * (len(self._tokens) - agreed)
        held = sum(1 for _ in takewhile(lambda since: audio_s - since >= self._hold_s, self._since[:agreed]))
        self._stable = max(self._stable, held)
        return self._reading(diverged)

    def finish(self, hypothesis: Hypothesis) -> StableHypothesis:
        """Take the last hypothesis; all of it is stable."""
        diverged = self._take(hypothesis) or hypothesis.diverged
        self._stable = len(self._tokens)
        return self._reading(diverged)

    def _take(self, hypothesis: Hypothesis) -> bool:
        """Make `hypothesis` begin with what is stable. Returns whether it had to be changed for that."""
        text = hypothesis.text.strip()
        tokens = _TOKEN.findall(text)
        stable = self._tokens[: self._stable]
        words = _placed(text, hypothesis.words)
        if tokens[: self._stable] == stable:
            self._tokens, self._words = tokens, words
            return False
        fits = _fitting(stable, tokens)
        rest = tokens[fits:]
        if rest and stable and not rest[0][0].isspace() and needs_space(stable[-1][-1], rest[0][0]):
            rest[0] = " " + rest[0]
        kept_chars = len("".join(stable))
        kept = [placed for placed in self._words if placed.end <= kept_chars]
        dropped_chars = len(text) - len("".join(tokens[fits:]))
        shift = kept_chars + len("".join(rest)) - len(text)
        self._words = kept + _after(words, dropped_chars, shift, kept)
        self._tokens = stable + rest
        return True

    def _reading(self, diverged: bool) -> StableHypothesis:
        draft = "".join(self._tokens[self._stable :])
        words = tuple(placed.word for placed in self._words)
        is_whole = _solid(*(word.text for word in words)) == _solid(*self._tokens)
        return StableHypothesis(self.stable, draft, words if is_whole else (), diverged)


@dataclass(frozen=True, slots=True)
class _PlacedWord:
    """A word, and the characters of the text [start, end) that it is."""

    word: Word
    start: int
    end: int


def _placed(text: str, words: Sequence[Word]) -> list[_PlacedWord]:
    """None of them if one is not in the text."""
    found: list[_PlacedWord] = []
    position = 0
    for word in words:
        start = text.find(word.text, position)
        if start < 0:
            return []
        position = start + len(word.text)
        found.append(_PlacedWord(word, start, position))
    return found


def _after(
    words: Sequence[_PlacedWord], dropped_chars: int, shift: int, kept: Sequence[_PlacedWord]
) -> list[_PlacedWord]:
    """The words behind `dropped_chars`, none earlier than the last of those that are kept."""
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


def _fitting(stable: Sequence[str], tokens: Sequence[str]) -> int:
    """How many of `tokens` say what `stable` says: the prefix with the least edit distance, of those the most alike
    in length. Case and punctuation do not count."""
    ours, theirs = [_bare(token) for token in stable], [_bare(token) for token in tokens]
    same = _common(ours, theirs)
    ours, theirs = ours[same:], theirs[same:]
    row = list(range(len(theirs) + 1))
    for n, token in enumerate(ours, 1):
        last, row[0] = row[0], n
        for m, other in enumerate(theirs, 1):
            last, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, last + (token != other))
    return same + min(range(len(row)), key=lambda m: (row[m], abs(m - len(ours))))


def _solid(*texts: str) -> str:
    return "".join("".join(texts).split())


def _bare(token: str) -> str:
    return _LETTERS.sub("", token).casefold() or token.strip()
