import pytest

from steno.alignment.confidence import scored, within
from steno.types import Score, Word

TEXT = "Hello, big world."
SCORES = (Score(3, 0.9), Score(6, 0.4), Score(10, 0.8), Score(17, 0.5))
WORDS = [Word("Hello,", 0, 1), Word("big", 1, 2), Word("world.", 2, 3)]


def test_a_word_is_as_sure_as_what_it_is_made_of() -> None:
    assert [word.confidence for word in scored(WORDS, TEXT, SCORES)] == pytest.approx([0.6, 0.8, 0.5])


def test_without_scores_or_without_its_place_a_word_stays_as_it_is() -> None:
    assert scored(WORDS, TEXT, ()) == tuple(WORDS)
    assert scored([Word("elsewhere", 0, 1)], TEXT, SCORES)[0].confidence is None


def test_a_word_that_comes_twice_is_found_where_it_stands() -> None:
    words = scored([Word("no", 0, 1), Word("no", 1, 2)], "no no", (Score(2, 0.9), Score(5, 0.1)))
    assert [word.confidence for word in words] == pytest.approx([0.9, 0.1])


def test_scores_of_a_part_count_from_its_beginning() -> None:
    assert within(SCORES, 7, 17) == (Score(3, 0.8), Score(10, 0.5))
