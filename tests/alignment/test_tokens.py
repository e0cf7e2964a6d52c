import pytest

from steno.alignment.tokens import tokens_of


def norms(text: str, language: str | None = "en") -> list[str]:
    return [token.norm for token in tokens_of(text, language)]


def test_case_accents_apostrophes_and_punctuation_do_not_count() -> None:
    assert norms("Don’t, NAÏVE — “café”!") == ["dont", "naive", "cafe"]
    assert norms("don't") == norms("don’t")


@pytest.mark.parametrize(
    ("written", "spoken", "language"),
    [
        ("24/7 in 1999", "twenty four seven in nineteen ninety nine", "en"),
        ("1,000 nights", "one thousand nights", "en"),
        ("3.5", "three point five", "en"),
        ("99 Luftballons", "neunundneunzig Luftballons", "de"),
        ("7 nuits", "sept nuits", "fr"),
    ],
)
def test_numbers_are_compared_as_they_are_read(written: str, spoken: str, language: str) -> None:
    assert norms(written, language) == norms(spoken, language)


def test_numbers_that_nobody_reads_stay_digits() -> None:
    assert norms("12345678901234") == ["12345678901234"]
    assert norms("24 小时", "zh") == ["24", "小", "时"]


def test_characters_of_scripts_without_spaces_are_tokens() -> None:
    assert norms("你好 world", "zh") == ["你", "好", "world"]
    assert norms("さくら", "ja") == ["さ", "く", "ら"]


def test_tokens_say_where_they_stand() -> None:
    text = "Up 42, don’t"
    assert [text[token.begin : token.end] for token in tokens_of(text, "en")] == ["Up", "42", "42", "don’t"]
