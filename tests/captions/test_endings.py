"""What ends with a word."""

from __future__ import annotations

import pytest

from steno.captions.endings import BreakRank, break_rank


@pytest.mark.parametrize(
    ("text", "following", "expected"),
    [
        ("day.", "Then", BreakRank.SENTENCE),
        ("day.”", "Then", BreakRank.SENTENCE),
        ("well…", "so", BreakRank.CLAUSE),
        ("why?”", "she", BreakRank.CLAUSE),
        ("Dr.", "Smith", BreakRank.PLAIN),
        ("J.", "Smith", BreakRank.PLAIN),
        ("U.S.", "Army", BreakRank.PLAIN),
        ("No.", "5", BreakRank.PLAIN),
        ("No.", "Never", BreakRank.SENTENCE),
        ("3.", "Then", BreakRank.SENTENCE),
        ("bank,", "the", BreakRank.CLAUSE),
        ("said:", "“No", BreakRank.CLAUSE),
        ("river", "and", BreakRank.PHRASE),
        ("mind", "(as", BreakRank.PHRASE),
        ("the", "river", BreakRank.PLAIN),
        ("走了。", "他", BreakRank.SENTENCE),
        ("工具，", "但是", BreakRank.CLAUSE),
        ("ดี", "เรา", BreakRank.CLAUSE),
        ("هذا؟", "لا", BreakRank.SENTENCE),
        ("है।", "वह", BreakRank.SENTENCE),
        ("day.", "", BreakRank.SENTENCE),
    ],
)
def test_what_ends_with_a_word(text: str, following: str, expected: BreakRank) -> None:
    assert break_rank(text, following, spaced=True, cased=True) is expected


def test_in_a_text_without_capitals_a_full_stop_ends_the_sentence_all_the_same() -> None:
    assert break_rank("day.", "then", spaced=True, cased=False) is BreakRank.SENTENCE
