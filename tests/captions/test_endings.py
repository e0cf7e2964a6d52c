"""What ends with a word."""

from __future__ import annotations

import pytest

from steno.captions.endings import Ending, ending


@pytest.mark.parametrize(
    ("text", "following", "expected"),
    [
        ("day.", "Then", Ending.SENTENCE),
        ("day.”", "Then", Ending.SENTENCE),
        ("well…", "so", Ending.CLAUSE),
        ("why?”", "she", Ending.CLAUSE),
        ("Dr.", "Smith", Ending.PLAIN),
        ("J.", "Smith", Ending.PLAIN),
        ("U.S.", "Army", Ending.PLAIN),
        ("No.", "5", Ending.PLAIN),
        ("No.", "Never", Ending.SENTENCE),
        ("3.", "Then", Ending.SENTENCE),
        ("bank,", "the", Ending.CLAUSE),
        ("said:", "“No", Ending.CLAUSE),
        ("river", "and", Ending.PHRASE),
        ("mind", "(as", Ending.PHRASE),
        ("the", "river", Ending.PLAIN),
        ("走了。", "他", Ending.SENTENCE),
        ("工具，", "但是", Ending.CLAUSE),
        ("ดี", "เรา", Ending.CLAUSE),
        ("هذا؟", "لا", Ending.SENTENCE),
        ("है।", "वह", Ending.SENTENCE),
        ("day.", "", Ending.SENTENCE),
    ],
)
def test_what_ends_with_a_word(text: str, following: str, expected: Ending) -> None:
    assert ending(text, following, spaced=True, cased=True) is expected


def test_in_a_text_without_capitals_a_full_stop_ends_the_sentence_all_the_same() -> None:
    assert ending("day.", "then", spaced=True, cased=False) is Ending.SENTENCE
