from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from steno.turn_detection.sentence_end import NETWORK, VOCABULARY, SentenceEnds
from steno.turn_detection.spoken_words import CONTEXT, words_of


@pytest.fixture(scope="module")
def ends() -> SentenceEnds:
    return SentenceEnds()


def log_odds(ends: SentenceEnds, text: str) -> tuple[float, float]:
    found = ends.log_odds(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("whole", "cut"),
    [
        ("The last train to the city leaves at seven", "The last train to the"),
        ("Please send this letter to my sister", "Please send this letter to my"),
        ("He told me that he would be there on Monday", "He told me that he would be there on"),
        ("We thought that nothing could be done about it", "We thought that nothing could be"),
    ],
)
def test_a_whole_sentence_ends_likelier_than_one_that_is_cut(ends: SentenceEnds, whole: str, cut: str) -> None:
    by_sentences, by_trigrams = (a - b for a, b in zip(log_odds(ends, whole), log_odds(ends, cut), strict=True))
    assert by_sentences > 2
    assert by_trigrams > 1


def test_punctuation_and_case_change_nothing(ends: SentenceEnds) -> None:
    assert log_odds(ends, "It was the age of wisdom") == log_odds(ends, "it was... THE age, of wisdom?")


def test_only_the_last_words_count(ends: SentenceEnds) -> None:
    words = words_of("It was the best of times, it was the worst of times, it was the age of wisdom") * 4
    assert log_odds(ends, " ".join(words)) == log_odds(ends, " ".join(words[-CONTEXT:]))


@pytest.mark.parametrize("text", ["", " … ", "今日は"])
def test_text_without_words_says_nothing(ends: SentenceEnds, text: str) -> None:
    assert ends.log_odds(text) is None


def test_words_are_those_that_are_spoken() -> None:
    assert words_of("Don’t pay 1,200.50 – it's a twenty-five-dollar “bill”.") == [
        "don't", "pay", "0", "it's", "a", "twenty", "five", "dollar", "bill",
    ]  # fmt: skip


def test_several_threads_read_as_one_does(ends: SentenceEnds) -> None:
    expected = ends.log_odds("We should be at the station")
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ends.log_odds, ["We should be at the station"] * 8)) == {expected}


@pytest.mark.parametrize("file", [NETWORK, VOCABULARY])
def test_the_shipped_files_are_those_of_the_readme(file: Path) -> None:
    assert hashlib.sha256(file.read_bytes()).hexdigest() in file.with_name("README.md").read_text()
