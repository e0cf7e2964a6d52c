from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steno.backends.sphinx.spelling import spoken

DICTIONARY = {"don't", "o'clock", "well-known", "hello", "nasa", "and(2)", "it's", "at", "t", "us", "'cause", "dr"}


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("Hello,", "hello"),
        ("“hello”", "hello"),
        ("'hello'", "hello"),
        ("don’t", "don't"),
        ("'cause", "'cause"),
        ("O'Clock!", "o'clock"),
        ("well-known", "well-known"),
        ("half-known", "half known"),
        ("Kowalczyk's", "kowalczyk's"),
        ("O’Malley’s", "omalley's"),
        ("café", "cafe"),
        ("Łódź", "lodz"),
        ("straße", "strasse"),
        ("1961", "nineteen sixty one"),
        ("2026", "twenty twenty six"),
        ("1990s", "nineteen nineties"),
        ("'90s", "nineties"),
        ("1,234", "one thousand two hundred and thirty four"),
        ("3.14", "three point one four"),
        ("-5°", "five degrees"),
        ("007", "zero zero seven"),
        ("4" * 13, " ".join(["four"] * 13)),
        ("42nd", "forty second"),
        ("$3.50", "three dollars and fifty cents"),
        ("$1", "one dollar"),
        ("£2.01", "two pounds and one penny"),
        ("£2.02", "two pounds and two pence"),
        ("€5.00", "five euros"),
        ("50%", "fifty percent"),
        ("3:30", "three thirty"),
        ("3:05", "three oh five"),
        ("12:00", "twelve"),
        ("10am", "ten a m"),
        ("p.m.", "p m"),
        ("U.S.", "u s"),
        ("NASA", "nasa"),
        ("BBC", "b b c"),
        ("NGO", "n g o"),
        ("UNICEF", "unicef"),
        ("AT&T", "at and t"),
        ("Dr.", "doctor"),
        ("steno.org", "steno dot org"),
        ("٣", "three"),
        ("and(2)", "and two"),
    ],
)
def test_a_token_is_written_as_it_is_said(token: str, words: str) -> None:
    assert " ".join(spoken(token, DICTIONARY.__contains__)) == words


@pytest.mark.parametrize("token", ["—", "…", "😀", "你好", "_", "''", "("])
def test_what_has_no_sound_in_english_gives_no_words(token: str) -> None:
    assert spoken(token, DICTIONARY.__contains__) == []


@given(st.text(min_size=1))
def test_whatever_stands_in_a_text_only_words_come_out(token: str) -> None:
    assert all(re.fullmatch("[a-z'-]+", word) for word in spoken(token, DICTIONARY.__contains__))
