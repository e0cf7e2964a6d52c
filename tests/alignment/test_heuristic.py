"""Word times guessed from a text."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captions.timed import tokens, visible
from steno.alignment.heuristic import spread
from steno.captions.cues import CueStyle, cues_of
from steno.types import Segment, Word


def texts(*words: Word) -> list[str]:
    return [word.text for word in words]


@given(st.lists(tokens(), max_size=20), st.floats(0, 1e5), st.floats(0, 1e4))
def test_every_character_is_in_one_word_and_times_rise_within_the_span(
    parts: list[str], start_s: float, length_s: float
) -> None:
    text = " ".join(parts)
    words = spread(text, start_s, start_s + length_s)
    assert visible("".join(texts(*words))) == visible(text)
    assert all(start_s <= word.start_s <= word.end_s <= start_s + length_s for word in words)
    assert all(one.end_s <= other.start_s for one, other in pairwise(words))
    if words:
        assert words[0].start_s == start_s
        assert words[-1].end_s == pytest.approx(start_s + length_s)


def test_words_get_time_by_their_letters_and_commas_are_pauses() -> None:
    assert spread("no, never again", 10.0, 25.0) == (
        Word("no,", 10.0, 12.0),
        Word("never", 15.0, 20.0),
        Word("again", 20.0, 25.0),
    )


def test_a_digit_takes_as_long_as_four_letters_and_a_chinese_character_as_three() -> None:
    assert [round(word.end_s, 6) for word in spread("abcd 1999", 0.0, 20.0)] == [4.0, 20.0]
    assert [round(word.end_s, 6) for word in spread("好 abc", 0.0, 6.0)] == [3.0, 6.0]


def test_chinese_becomes_short_words_and_latin_within_it_stays_whole() -> None:
    words = texts(*spread("我在Google工作了3年，用的是 Python 3.11 版本。", 0, 8, "zh"))
    assert {"Google", "Python", "3.11"} <= set(words)
    assert max(len(word) for word in words) <= 6
    assert not any(word.startswith(("，", "。")) for word in words)


def test_thai_becomes_words() -> None:
    assert texts(*spread("วันนี้อากาศดีมาก", 0, 2)) == ["วัน", "นี้", "อากาศ", "ดี", "มาก"]


def test_no_time_at_all_gives_words_without_duration() -> None:
    assert spread("one two", 3.0, 2.0) == (Word("one", 3.0, 3.0), Word("two", 3.0, 3.0))
    assert spread(" \n", 0.0, 1.0) == ()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_times_that_are_no_times_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        spread("one", 0.0, bad)


def test_guessed_words_make_the_same_cues_of_a_sentence_as_an_even_pace() -> None:
    text = "It rained all day. Nobody went out to see what had become of the bridge, and nobody asked."
    segment = Segment(0, 0.0, 6.0, text, "en", spread(text, 0.0, 6.0))
    cues = cues_of([segment], CueStyle(), audio_end_s=6.0)
    assert [cue.lines for cue in cues] == [
        ("It rained all day.",),
        ("Nobody went out to see what had become", "of the bridge, and nobody asked."),
    ]


def test_nothing_heavy_is_loaded_for_it() -> None:
    code = "import sys, steno.alignment.heuristic as h; h.spread('你好世界', 0, 1); print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "av", "onnxruntime", "pocketsphinx", "pydantic", "fastapi"} & set(loaded)
