"""The rules of `captions/cues.py`, on any timed words in any script."""

from __future__ import annotations

from itertools import pairwise

import pytest
import wcwidth
from hypothesis import given
from hypothesis import strategies as st

from captions.timed import SCRIPTS, spoken_segments, styles, tokens, visible, wild_segments
from steno.captions.cues import Cue, CueStyle, cues_of, rebreak, with_text
from steno.types import Segment

MS = 0.0005
"""Half a millisecond: cues are in whole ones."""


def columns(text: str) -> int:
    """A mark without a letter, at the beginning of a line, counts nothing."""
    alone = sum(wcwidth.width(cluster, control_codes="ignore") for cluster in wcwidth.iter_graphemes(text))
    return min(alone, wcwidth.width(text, control_codes="ignore"))


def text_of(segments: list[Segment]) -> str:
    return "".join(visible(one.text) or visible("".join(word.text for word in one.words)) for one in segments)


def assert_shaped(cues: list[Cue], style: CueStyle) -> None:
    for cue in cues:
        assert 1 <= len(cue.lines) <= style.max_lines
        assert all(line.strip() or line for line in cue.lines)
        for line in cue.lines:
            assert columns(line) <= style.max_line_chars or len(list(wcwidth.iter_graphemes(line))) == 1
        assert visible("".join(cue.lines)) == visible(cue.text)
        assert visible("".join(word.text for word in cue.words)) == visible(cue.text)
        assert cue.end_s - cue.start_s <= style.max_duration_s + MS
    assert all(one.end_s <= other.start_s for one, other in pairwise(cues))
    assert all(0 <= cue.start_s < cue.end_s for cue in cues)


@given(wild_segments(), styles(), st.one_of(st.none(), st.floats(0, 40)))
def test_any_words_at_any_times_keep_every_character_in_valid_cues(
    segments: list[Segment], style: CueStyle, audio_end_s: float | None
) -> None:
    cues = cues_of(segments, style, audio_end_s=audio_end_s)
    assert visible("".join(cue.text for cue in cues)) == text_of(segments)
    assert_shaped(cues, style)
    if audio_end_s is not None and cues:
        characters = sum(len(one.text) + sum(len(word.text) + 1 for word in one.words) for one in segments)
        assert cues[-1].end_s <= max(audio_end_s, characters / 1000)


@given(spoken_segments(tokens().filter(lambda text: text.strip() != "")), styles())
def test_speech_in_any_script_gives_cues_that_keep_all_rules_that_can_be_kept(
    segments: list[Segment], style: CueStyle
) -> None:
    end_s = segments[-1].end_s + 0.3
    cues = cues_of(segments, style, audio_end_s=end_s)
    assert_shaped(cues, style)
    for cue, following in pairwise([*cues, None]):
        assert cue is not None
        if following is None:
            latest_s = end_s
        else:
            latest_s = following.start_s - min(style.gap_s, int((following.start_s - cue.start_s) * 500 + MS) / 1000)
        assert cue.end_s <= latest_s + MS
        latest_s = min(latest_s, cue.start_s + style.max_duration_s)
        is_as_long_as_can_be = cue.end_s >= latest_s - 2 * MS
        assert cue.end_s - cue.start_s >= style.min_duration_s - MS or is_as_long_as_can_be
        assert columns(cue.text) / (cue.end_s - cue.start_s) <= style.max_cps * 1.01 or is_as_long_as_can_be
        assert is_as_long_as_can_be or cue.end_s >= cue.words[-1].end_s
        assert len(cue.words) == 1 or cue.words[-1].end_s - cue.start_s <= style.max_duration_s + MS
        assert all(b.start_s - a.end_s < 2 * style.pause_s + MS for a, b in pairwise(cue.words))


def is_too_little(cue: Cue, style: CueStyle) -> bool:
    """One short word, or gone before it can be read."""
    is_orphan = len(cue.words) == 1 and len(cue.text) <= 10
    return is_orphan or cue.end_s - cue.start_s < style.min_duration_s - MS


@given(spoken_segments(st.text("abcdefghij", min_size=1, max_size=9)), styles())
def test_no_word_and_no_moment_is_left_alone_that_could_join_its_neighbour(
    segments: list[Segment], style: CueStyle
) -> None:
    cues = cues_of(segments, style, audio_end_s=None)
    for one, other in pairwise(cues):
        if not is_too_little(one, style) and not is_too_little(other, style):
            continue
        assert (
            len(rebreak(f"{one.text} {other.text}", style)) > style.max_lines
            or other.words[-1].end_s - one.words[0].start_s > style.max_duration_s - MS
            or other.words[0].start_s - one.words[-1].end_s >= style.pause_s - MS
        )


@given(
    spoken_segments(st.text("abcdefgh", min_size=4, max_size=9).flatmap(lambda w: st.sampled_from([w, w, w, w + "."])))
)
def test_a_cue_goes_on_after_a_sentence_only_where_one_of_two_is_too_short_to_stand_alone(
    segments: list[Segment],
) -> None:
    style = CueStyle(max_line_chars=500)
    for cue in cues_of(segments, style, audio_end_s=None):
        inner = [n for n, word in enumerate(cue.words[:-1]) if word.text.endswith(".")]
        parts = [cue.words[a:b] for a, b in pairwise([0, *(n + 1 for n in inner), len(cue.words)])]
        for part, following in pairwise(parts):
            short = [
                len(p) == 1 or p[-1].end_s - p[0].start_s < style.min_duration_s + style.gap_s
                for p in (part, following)
            ]
            assert any(short)


@given(st.lists(tokens(), max_size=20), styles())
def test_a_text_without_times_is_broken_into_lines_that_fit_and_loses_nothing(
    texts: list[str], style: CueStyle
) -> None:
    text = " ".join(texts)
    lines = rebreak(text, style)
    assert visible("".join(lines)) == visible(text)
    assert all(columns(line) <= style.max_line_chars or len(list(wcwidth.iter_graphemes(line))) == 1 for line in lines)
    assert all(line for line in lines)
    cue = Cue(1.0, 2.5, ("a",), "a")
    again = with_text(cue, text, style, "fr")
    assert (again.start_s, again.end_s, again.lines, again.language) == (1.0, 2.5, lines, "fr")


@pytest.mark.parametrize("script", SCRIPTS)
@given(st.data())
def test_lines_never_cut_through_what_a_reader_takes_for_one_character(script: str, data: st.DataObject) -> None:
    text = data.draw(st.text(SCRIPTS[script].replace("\u200b", ""), min_size=1, max_size=60))
    words = " ".join(text.split())
    lines = rebreak(words, CueStyle(max_line_chars=6))
    whole = [cluster for cluster in wcwidth.iter_graphemes(words) if cluster.strip()]
    parts = [cluster for line in lines for cluster in wcwidth.iter_graphemes(line) if cluster.strip()]
    assert visible("".join(parts)) == visible("".join(whole))
    assert len(parts) <= len(whole) + words.count(" ")
