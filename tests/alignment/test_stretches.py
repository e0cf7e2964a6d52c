"""Where known text is cut for an aligner, and how its times are taken."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.said import DURATION_S, Found, find
from steno.alignment.stretches import Stretch, aligned_words, stretches_of
from steno.types import Word


def cut(found: Found, max_s: float = 30.0) -> list[Stretch]:
    return stretches_of(found.words, found.texts, found.heard, DURATION_S, max_s)


def test_lines_with_a_pause_between_them_are_stretches_of_their_own() -> None:
    stretches = cut(find("one two\nthree four\nfive six", "1.0 one two 2.4 three four five six"))
    assert [stretch.text for stretch in stretches] == ["one two", "three four five six"]
    assert [(stretch.start_s, stretch.end_s) for stretch in stretches] == [(0.7, 2.2), (2.2, pytest.approx(4.7))]


def test_breaks_and_foreign_words_belong_to_no_stretch() -> None:
    stretches = cut(
        find("one two three\nfour five six", "1.0 one two three 10.0 ladies and gentlemen 12.0 four five six")
    )
    assert [(stretch.start_s, stretch.end_s) for stretch in stretches] == [(0.7, 2.8), (11.7, 13.8)]


def test_what_was_heard_beside_a_word_that_was_not_belongs_to_it() -> None:
    (first, second) = cut(find("one two three\nfour five six", "1.0 one two three 8.0 something 8.7 five six"))
    assert (first.end_s, second.start_s) == (2.8, 7.7)


def test_long_text_is_cut_at_its_longest_pause_near_the_middle() -> None:
    words = " ".join(f"w{n}ord" for n in range(40))
    said = " ".join(f"w{n}ord" for n in range(22)) + " 11.5 " + " ".join(f"w{n}ord" for n in range(22, 40))
    stretches = cut(find(words, said), max_s=15.0)
    assert [len(stretch.words) for stretch in stretches] == [22, 18]
    assert all(stretch.end_s - stretch.start_s <= 15.0 for stretch in stretches)


@given(st.lists(st.floats(0, 3), min_size=2, max_size=60), st.integers(5, 30))
def test_stretches_are_in_order_bounded_and_have_all_words(pauses_s: list[float], max_s: int) -> None:
    said, at = [], 0.0
    for n, pause_s in enumerate(pauses_s):
        at += pause_s
        said.append(f"{at:.3f} w{n}ord")
        at += 0.5
    names = [f"w{n}ord" for n in range(len(pauses_s))]
    found = find("\n".join(" ".join(names[n : n + 7]) for n in range(0, len(names), 7)), " ".join(said))
    stretches = cut(found, max_s)
    assert [word for stretch in stretches for word in stretch.words] == list(found.words)
    assert all(0 <= stretch.end_s - stretch.start_s <= max_s for stretch in stretches)
    assert all(one.end_s <= other.start_s + 1e-9 for one, other in itertools.pairwise(stretches))


def test_aligned_words_count_from_the_stretch_s_start() -> None:
    found = find("one two three four five", "10.0 one two three four five")
    (stretch,) = cut(found)
    times = [(0.2, 0.7), (0.75, 1.3), (1.4, 1.7), (1.8, 2.2), (2.3, 2.7)]
    words = [Word(text, *span) for text, span in zip(["one", "two", "three", "four", "five"], times, strict=True)]
    aligned = aligned_words(stretch, words)
    assert aligned is not None
    assert [round(word.end_s, 2) for word in aligned] == [10.4, 11.0, 11.4, 11.9, 12.4]
    starts = [round(word.start_s, 2) for word in aligned]
    assert starts == [10.0, 10.5, 11.1, 11.5, 12.0], "of two starts of a word that was heard, the later one"


def test_an_aligner_that_contradicts_what_was_heard_is_not_believed() -> None:
    (stretch,) = cut(find("one two three", "10.0 one two three"))
    assert aligned_words(stretch, [Word("one", 1.4, 1.5), Word("two", 1.5, 1.6), Word("three", 1.6, 1.7)]) is None
    assert aligned_words(stretch, [Word("one", 0.3, 0.8)]) is None, "words are missing"


def test_an_aligner_s_longer_words_are_divided() -> None:
    (stretch,) = cut(find("你好世界", "10.0 你好世界", language="zh"))
    assert stretch.text == "你好世界"
    aligned = aligned_words(stretch, [Word("你好", 0.3, 0.5), Word("世界", 0.6, 0.8)])
    assert aligned is not None
    assert [round(word.start_s, 2) for word in aligned] == [10.0, 10.12, 10.3, 10.4]
