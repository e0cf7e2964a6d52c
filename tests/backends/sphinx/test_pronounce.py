from __future__ import annotations

import random
import re
from importlib.util import find_spec
from pathlib import Path

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steno.backends.sphinx.pronounce import pronounce

VOWELS = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}
STOPS = {"B", "CH", "D", "G", "JH", "K", "P", "T"}
HISSES = {"DH", "F", "HH", "S", "SH", "TH", "V", "Z", "ZH"}
PHONES = VOWELS | STOPS | HISSES | {"L", "M", "N", "NG", "R", "W", "Y"}


def dictionary() -> dict[str, list[str]]:
    """The words of three letters and more in pocketsphinx's CMU dictionary, each with its pronunciations."""
    spec = find_spec("pocketsphinx")
    assert spec is not None
    assert spec.origin is not None
    entries: dict[str, list[str]] = {}
    for line in (Path(spec.origin).parent / "model/en-us/cmudict-en-us.dict").read_text().splitlines():
        word, phones = line.split(" ", 1)
        word = re.sub(r"\(\d+\)$", "", word)
        if re.fullmatch("[a-z]{3,}", word):
            entries.setdefault(word, []).append(phones)
    return entries


def test_six_phones_of_seven_are_right_in_words_that_the_rules_were_not_tuned_on() -> None:
    entries = dictionary()
    words = random.Random(0).sample(sorted(entries)[1::2], 4000)
    guesses = [" ".join(pronounce(word)) for word in words]
    nearest = [
        min(entries[word], key=lambda phones: jiwer.wer(phones, guess))
        for word, guess in zip(words, guesses, strict=True)
    ]
    assert 0.14 < jiwer.wer(nearest, guesses) < 0.15


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("knight", "N AY T"),
        ("phone", "F OW N"),
        ("nation", "N EY SH AH N"),
        ("zelensky", "Z EH L AH N S K IY"),
        ("obama", "OW B AA M AH"),
        ("sky", "S K AY"),
        ("qi", "K IY"),
        ("xi", "Z IY"),
    ],
)
def test_words_sound_as_english_readers_would_say_them(word: str, phones: str) -> None:
    assert " ".join(pronounce(word)) == phones


@given(st.text("abcdefghijklmnopqrstuvwxyz"))
def test_only_phones_of_the_model_come_out(word: str) -> None:
    assert PHONES.issuperset(pronounce(word))
