"""What a recogniser heard, written down as `12.0 some words 15.5 some others`: half a second for each word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steno.alignment.line_words import LineWord, line_words_of
from steno.alignment.occurrences import HeardToken, LineTokens, Matched, find_lines, heard_tokens, tokens_of_line
from steno.alignment.sheet import SheetLine, parse_sheet
from steno.types import Word

WORD_S = 0.5
DURATION_S = 100.0


def spoken(text: str) -> list[Word]:
    """Numbers with a point set the time of the next word."""
    words: list[Word] = []
    at = 0.0
    for part in text.split():
        if part.replace(".", "", 1).isdigit() and "." in part:
            at = float(part)
            continue
        words.append(Word(part, at, at + WORD_S))
        at += WORD_S
    return words


@dataclass(frozen=True)
class Found:
    lines: Sequence[SheetLine]
    tokens: Sequence[LineTokens]
    heard: Sequence[HeardToken]
    matched: Matched
    words: Sequence[LineWord]

    @property
    def texts(self) -> list[str]:
        """The line of each occurrence."""
        return [self.lines[occurrence.line].text for occurrence in self.matched.occurrences]

    def timed(self) -> list[tuple[str, float, float]]:
        return [
            (self.texts[word.occurrence][word.begin : word.end], round(word.start_s, 3), round(word.end_s, 3))
            for word in self.words
        ]


def find(sheet: str, said: str, *, language: str = "en", may_repeat: bool = True, are_timed: bool = True) -> Found:
    lines = parse_sheet(sheet)
    tokens = [tokens_of_line(line, language) for line in lines]
    heard = heard_tokens(spoken(said), language, are_timed=are_timed)
    matched = find_lines(lines, tokens, heard, may_repeat=may_repeat)
    return Found(lines, tokens, heard, matched, line_words_of(matched.occurrences, lines, tokens, heard, DURATION_S))
