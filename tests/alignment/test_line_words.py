"""Times of words between those that were heard."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.said import DURATION_S, find
from steno.alignment.line_words import line_words_of, word_ranges
from steno.alignment.occurrences import find_lines, heard_tokens, tokens_of_line
from steno.alignment.sheet import parse_sheet
from steno.alignment.tokens import tokens_of
from steno.types import Word


def test_heard_words_have_their_times() -> None:
    assert find("one two\nthree", "1.0 one two 5.0 three").timed() == [
        ("one", 1.0, 1.5),
        ("two", 1.5, 2.0),
        ("three", 5.0, 5.5),
    ]


def test_unheard_words_within_a_line_share_the_time_between_their_neighbours() -> None:
    timed = find("seven angels eleven devils", "1.0 seven 4.5 devils").timed()
    assert timed == [("seven", 1.0, 1.5), ("angels", 1.5, 3.0), ("eleven", 3.0, 4.5), ("devils", 4.5, 5.0)]


def test_unheard_words_at_a_line_s_ends_stay_near_it() -> None:
    timed = find("seven angels eleven devils", "50.0 angels eleven").timed()
    assert timed[0] == ("seven", 50.0 - 5 * 0.075, 50.0)
    assert timed[3] == ("devils", 51.0, 51.0 + 6 * 0.075)


def test_words_in_brackets_that_were_not_heard_have_none() -> None:
    assert [text for text, *_ in find("Up (in the air) so blue", "1.0 up so blue").timed()] == ["Up", "so", "blue"]


@pytest.mark.parametrize(
    ("rate_s", "gap_s", "is_certain"), [(0.1, 0.0, False), (0.1, 0.3, True), (0.5, 0.0, True)], ids=str
)
def test_a_line_whose_beginning_was_heard_twice_has_no_certain_start(
    rate_s: float, gap_s: float, is_certain: bool
) -> None:
    line = "seven angels eleven devils"
    doubled = [Word(text, 10 + rate_s * n, 10 + rate_s * (n + 1)) for n, text in enumerate(["seven", "angry", "eels"])]
    begin_s = doubled[-1].end_s + gap_s
    said = [Word(text, begin_s + 0.5 * n, begin_s + 0.5 * (n + 1)) for n, text in enumerate(line.split())]
    lines = parse_sheet(line)
    tokens = [tokens_of_line(one, "en") for one in lines]
    heard = heard_tokens([*doubled, *said], "en")
    matched = find_lines(lines, tokens, heard, may_repeat=True)
    first = line_words_of(matched.occurrences, lines, tokens, heard, DURATION_S)[0]
    assert (first.start_s, first.is_certain) == (begin_s, is_certain)


def test_words_keep_their_punctuation() -> None:
    text = "“Don't!” – she said, 24/7…"
    words = [text[a:b] for a, b, _ in word_ranges(text, tokens_of(text, "en"))]
    assert words == ["“Don't!” –", "she", "said,", "24/7…"]


def test_characters_of_scripts_without_spaces_are_words() -> None:
    text = "你好，world 再见"
    assert [text[a:b] for a, b, _ in word_ranges(text, tokens_of(text, "zh"))] == ["你", "好，", "world", "再", "见"]


WRITTEN = st.sampled_from(["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf"])
SAID = st.sampled_from(["alpha", "bravo", "charlie", "delta", "echo", "golf", "zulu"])


@given(
    st.lists(st.lists(WRITTEN, min_size=1, max_size=5), min_size=1, max_size=6),
    st.lists(st.tuples(SAID, st.floats(0, 3)), max_size=25),
)
def test_words_are_in_order_and_within_the_recording(lines: list[list[str]], said: list[tuple[str, float]]) -> None:
    at, parts = 0.0, []
    for word, pause_s in said:
        parts.append(f"{at + pause_s:.3f} {word}")
        at += pause_s + 0.5
    found = find("\n".join(" ".join(line) for line in lines), " ".join(parts))
    for one, other in itertools.pairwise(found.words):
        assert one.end_s <= other.start_s
        assert (one.occurrence, one.begin) < (other.occurrence, other.begin)
    assert all(0 <= word.start_s <= word.end_s <= DURATION_S for word in found.words)
