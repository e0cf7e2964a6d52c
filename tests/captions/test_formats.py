"""What the writers write, and that parsers which know nothing of them read the same."""

from __future__ import annotations

import io
import re
from itertools import pairwise

import pylrc
import pysubs2
import pytest
import srt
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from captions.timed import spoken_segments, tokens, visible
from steno.captions.cues import Cue, CueStyle, cues_of
from steno.captions.formats import FORMATS, NAMES, FormatName, render
from steno.types import Segment

TWO = [
    Cue(0.0, 1.5, ("It rained", "all day."), "It rained all day."),
    Cue(3.25, 5.007, ("Nobody went out.",), "Nobody went out."),
]
LATE = [Cue(360_000.0, 360_001.5, ("After 100 hours.",), "After 100 hours.")]
NASTY = Cue(1.0, 2.0, ("a --> b & <i>c</i>", "", " \t ", "d\te\x00\nf"), "a --> b & <i>c</i> d\te\x00\nf")
LRC_LINE = re.compile(r"^\[(\d{2,}):([0-5]\d)\.(\d\d)\](.*)$")


def ms(seconds: float) -> int:
    return round(seconds * 1000)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "srt",
            "1\n00:00:00,000 --> 00:00:01,500\nIt rained\nall day.\n\n"
            "2\n00:00:03,250 --> 00:00:05,007\nNobody went out.\n",
        ),
        (
            "vtt",
            "WEBVTT\n\nNOTE Language: en\n\n00:00:00.000 --> 00:00:01.500\nIt rained\nall day.\n\n"
            "00:00:03.250 --> 00:00:05.007\nNobody went out.\n",
        ),
        ("lrc", "[00:00.00]It rained all day.\n[00:01.50]\n[00:03.25]Nobody went out.\n[00:05.01]\n"),
        ("tsv", "start\tend\ttext\n0\t1500\tIt rained all day.\n3250\t5007\tNobody went out.\n"),
    ],
)
def test_each_format_is_written_like_this(name: FormatName, expected: str) -> None:
    assert render(name, TWO, language="en") == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("srt", "1\n00:00:01,000 --> 00:00:02,000\na -> b & <i>c</i>\nd\te\nf\n"),
        ("vtt", "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\na --&gt; b &amp; &lt;i&gt;c&lt;/i&gt;\nd\te\nf\n"),
        ("lrc", "[00:01.00]a --> b & <i>c</i> d e f\n[00:02.00]\n"),
        ("tsv", "start\tend\ttext\n1000\t2000\ta --> b & <i>c</i> d e f\n"),
    ],
)
def test_what_would_break_a_format_is_escaped(name: FormatName, expected: str) -> None:
    assert render(name, [NASTY]) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("srt", "1\n100:00:00,000 --> 100:00:01,500\nAfter 100 hours.\n"),
        ("vtt", "WEBVTT\n\n100:00:00.000 --> 100:00:01.500\nAfter 100 hours.\n"),
        ("lrc", "[6000:00.00]After 100 hours.\n[6000:01.50]\n"),
        ("tsv", "start\tend\ttext\n360000000\t360001500\tAfter 100 hours.\n"),
    ],
)
def test_hours_go_beyond_99(name: FormatName, expected: str) -> None:
    assert render(name, LATE) == expected


@pytest.mark.parametrize("name", NAMES)
def test_cues_with_nothing_to_show_are_left_out(name: FormatName) -> None:
    assert render(name, [Cue(0, 1, (" ", "\x00"), "\x00"), Cue(1, 2, (), "")]) == render(name, [])


@pytest.mark.parametrize("language", [None, "en", "no -->\n\nlanguage"])
def test_a_blank_line_follows_the_signature_of_webvtt_whatever_the_language(language: str | None) -> None:
    for cues in ([], TWO):
        lines = render("vtt", cues, language=language).split("\n")
        assert lines[:2] == ["WEBVTT", ""]
        assert sum("-->" in line for line in lines) == len(cues)


def test_an_empty_file_is_valid() -> None:
    assert [render(name, []) for name in NAMES] == ["", "WEBVTT\n", "", "start\tend\ttext\n"]


def test_brackets_that_look_like_times_are_no_tags_in_lrc_and_others_stay() -> None:
    cue = Cue(0, 1, ("[Music] at [12:30] or <01:02.03>",), "[Music] at [12:30] or <01:02.03>")
    assert render("lrc", [cue]) == "[00:00.00][Music] at ［12:30] or ＜01:02.03>\n[00:01.00]\n"


def test_the_table_knows_every_format() -> None:
    assert {name: (form.media_type, form.extension) for name, form in FORMATS.items()} == {
        "srt": ("application/x-subrip", ".srt"),
        "vtt": ("text/vtt", ".vtt"),
        "lrc": ("text/plain", ".lrc"),
        "tsv": ("text/tab-separated-values", ".tsv"),
    }


@st.composite
def transcripts(draw: st.DrawFn) -> list[Cue]:
    segments: list[Segment] = draw(spoken_segments(tokens().filter(lambda text: re.search(r"\w", text) is not None)))
    return cues_of(segments, CueStyle(), audio_end_s=None)


def seen(cue: Cue) -> str:
    """What of a cue any format shows."""
    return visible(re.sub(r"[\x00\x1b]", "", cue.text))


@given(transcripts())
def test_srt_is_read_back_by_srt(cues: list[Cue]) -> None:
    read = list(srt.parse(render("srt", cues)))
    assert [(ms(one.start.total_seconds()), ms(one.end.total_seconds())) for one in read] == [
        (ms(cue.start_s), ms(cue.end_s)) for cue in cues
    ]
    assert [visible(one.content) for one in read] == [seen(cue).replace("-->", "->") for cue in cues]
    assert [one.index for one in read] == list(range(1, len(cues) + 1))


@given(transcripts())
def test_vtt_is_read_back_by_webvtt(cues: list[Cue]) -> None:
    read = webvtt.from_buffer(io.StringIO(render("vtt", cues, language="en")))
    assert [(stamp_ms(one.start), stamp_ms(one.end)) for one in read] == [
        (ms(cue.start_s), ms(cue.end_s)) for cue in cues
    ]
    assert [visible(unescape(one.raw_text)) for one in read] == [seen(cue) for cue in cues]


@given(transcripts())
def test_both_are_read_back_by_pysubs2(cues: list[Cue]) -> None:
    for name in ("srt", "vtt"):
        read = pysubs2.SSAFile.from_string(render(name, cues), format_=name)
        assert [(one.start, one.end) for one in read] == [(ms(cue.start_s), ms(cue.end_s)) for cue in cues]


@given(transcripts())
def test_lrc_is_read_back_by_pylrc_and_never_goes_backwards(cues: list[Cue]) -> None:
    text = render("lrc", cues)
    matches = [LRC_LINE.match(line) for line in text.splitlines()]
    assert all(matches)
    times = [round(60 * int(m[1]) + int(m[2]) + int(m[3]) / 100, 2) for m in matches if m]
    assert times == sorted(times)
    assert [visible(m[4]) for m in matches if m and m[4]] == [re.sub(r"[\[<](?=\d+:)", "", seen(cue)) for cue in cues]
    if times[-1] < 3540:
        read = pylrc.parse(text)
        assert sorted(round(line.time, 2) for line in read) == times


@given(transcripts())
def test_tsv_is_three_columns_that_tile_the_time(cues: list[Cue]) -> None:
    rows = [line.split("\t") for line in render("tsv", cues).splitlines()[1:]]
    assert [(int(start), int(end), visible(text)) for start, end, text in rows] == [
        (ms(cue.start_s), ms(cue.end_s), seen(cue)) for cue in cues
    ]
    assert all(int(one[1]) <= int(other[0]) for one, other in pairwise(rows))


def stamp_ms(stamp: str) -> int:
    hours, minutes, seconds = stamp.split(":")
    return ms(int(hours) * 3600 + int(minutes) * 60 + float(seconds))


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
