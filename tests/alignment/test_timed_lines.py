"""The lines of an answer: in order of time, with repeats, with those that were not found among them."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from alignment.said import DURATION_S, Found, find
from steno.alignment.occurrences import tokens_of_line
from steno.alignment.sheet import parse_sheet
from steno.alignment.timed_lines import TimedLine, even_lines, offsets_of, timed_lines

SONG = """[Verse 1]
one two three four

[Chorus]
merrily merrily down the stream

[Verse 2]
five six seven eight
unsung silent words here
nine ten eleven twelve"""
SUNG = """1.0 one two three four 5.0 merrily merrily down the stream
10.0 five six seven eight nine ten eleven twelve 20.0 merrily merrily down the stream"""


def times(found: Found) -> list[TimedLine]:
    return timed_lines(found.lines, found.tokens, found.matched.occurrences, found.words, DURATION_S)


def test_lines_are_repeated_as_they_are_sung() -> None:
    lines = times(find(SONG, SUNG))
    assert [(line.number, line.repeat, line.section, line.start_s, line.end_s) for line in lines] == [
        (2, 1, "Verse 1", 1.0, 3.0),
        (5, 1, "Chorus", 5.0, 7.5),
        (8, 1, "Verse 2", 10.0, 12.0),
        (9, 1, "Verse 2", None, None),
        (10, 1, "Verse 2", 12.0, 14.0),
        (5, 2, "Chorus", 20.0, 22.5),
    ]


def test_lines_that_are_not_found_have_no_words_and_no_confidence() -> None:
    (missing,) = [line for line in times(find(SONG, SUNG)) if line.status == "not_found"]
    assert (missing.text, missing.words, missing.confidence) == ("unsung silent words here", (), 0.0)


def test_copies_that_are_not_sung_are_not_listed() -> None:
    lines = times(find("[Chorus x3]\nla la ley\n\nend of it", "1.0 la la ley 3.0 end of it"))
    assert [(line.text, line.status) for line in lines] == [("la la ley", "found"), ("end of it", "found")]


def test_even_lines_share_the_speech_by_their_letters() -> None:
    lines = parse_sheet("aaaa aaaa\n[Break]\nbbbb")
    tokens = [tokens_of_line(line, "en") for line in lines]
    found = even_lines(lines, tokens, [(10.0, 14.0), (20.0, 22.0)], 30.0, "en")
    assert [(line.text, line.start_s, line.end_s, line.status) for line in found] == [
        ("aaaa aaaa", 10.0, 14.0, "estimated"),
        ("bbbb", 20.0, 22.0, "estimated"),
    ]
    assert [word.text for word in found[0].words] == ["aaaa", "aaaa"]


def test_even_lines_without_speech_share_the_whole_recording() -> None:
    lines = parse_sheet("one\ntwo")
    found = even_lines(lines, [tokens_of_line(line, "en") for line in lines], [], 10.0, "en")
    assert [(line.start_s, line.end_s) for line in found] == [(0.0, 5.0), (5.0, 10.0)]


def test_offsets_are_those_of_lines_whose_first_word_was_heard() -> None:
    found = find("one two\nthree four\nfive six", "1.0 one two 5.0 other four 9.0 five six")
    assert [time for time, offset in offsets_of(found.words, found.words)] == [1.0, 9.0]


@given(
    st.lists(st.integers(0, 3), max_size=8),
    st.lists(st.floats(0, 2), min_size=40, max_size=40),
)
def test_times_are_monotone_and_only_missing_lines_have_none(order: list[int], pauses_s: list[float]) -> None:
    texts = ["alpha bravo charlie", "delta echo", "foxtrot golf hotel india", "juliett"]
    said, at = [], 0.0
    for word, pause_s in zip(" ".join(texts[n] for n in order).split(), pauses_s, strict=False):
        said.append(f"{at + pause_s:.3f} {word}")
        at += pause_s + 0.5
    lines = times(find("\n".join(texts), " ".join(said)))
    assert {line.text for line in lines} == set(texts)
    assert all((line.start_s is None) == (line.end_s is None) == (line.status == "not_found") for line in lines)
    words = [word for line in lines for word in line.words]
    assert all(one.end_s <= other.start_s for one, other in itertools.pairwise(words))
    assert all(0 <= word.start_s <= word.end_s <= DURATION_S for word in words)
