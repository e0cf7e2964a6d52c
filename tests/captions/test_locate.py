"""Finding words in the text they belong to."""

from __future__ import annotations

import pytest

from steno.captions.locate import locate
from steno.types import Segment, Word


def parts(text: str, *words: str) -> list[tuple[str, float]]:
    """Each part of the text with the number of the word it is."""
    timed = tuple(Word(word, float(n), n + 1.0) for n, word in enumerate(words))
    found = locate(Segment(0, 0.0, 99.0, text, None, timed))
    assert "".join(found.text[span.begin : span.end] for span in found.spans) == found.text
    return [(found.text[span.begin : span.end], span.start_s) for span in found.spans]


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("Hello, world.", ["Hello,", "world."], [("Hello, ", 0), ("world.", 1)]),
        ("Hello, world.", ["Hello", "world"], [("Hello, ", 0), ("world.", 1)]),
        ("Hello, world.", ["hello", "WORLD"], [("Hello, ", 0), ("world.", 1)]),
        ("He said “no” twice", ["He", "said", "no", "twice"], [("He ", 0), ("said ", 1), ("“no” ", 2), ("twice", 3)]),
        ("他说“好”。", ["他", "说", "好"], [("他", 0), ("说", 1), ("“好”。", 2)]),
        ("in 1999 we", ["in", "nineteen", "we"], [("in ", 0), ("1999 ", 1), ("we", 2)]),
        ("a new big house", ["a", "house"], [("a new big ", 0), ("house", 1)]),
        ("a house", ["a", "big", "house"], [("a ", 0), ("house", 2)]),
        ("can't stop", ["can", "'t", "stop"], [("can", 0), ("'t ", 1), ("stop", 2)]),
        ("ภาษาไทยดี", ["ภาษา", "ไทย", "ดี"], [("ภาษา", 0), ("ไทย", 1), ("ดี", 2)]),
        (" two \n lines ", ["two", "lines"], [("two ", 0), ("lines", 1)]),
        ("no words", [], [("no words", 0)]),
        ("♪ ♪", ["la"], [("♪ ♪", 0)]),
    ],
)
def test_each_word_is_found_in_the_text(text: str, words: list[str], expected: list[tuple[str, float]]) -> None:
    assert parts(text, *words) == expected


def test_a_short_word_is_not_mistaken_for_the_beginning_of_another() -> None:
    assert parts("an apple a day", "an", "apple", "day") == [("an ", 0), ("apple a ", 1), ("day", 2)]


def test_a_text_that_shares_nothing_with_its_words_still_gets_their_times() -> None:
    assert parts("one two", "eins", "zwei") == [("one ", 0), ("two", 1)]
