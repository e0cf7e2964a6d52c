"""Files of timed lines, read by parsers that are not ours: pylrc, pysubs2, ttconv, praatio, srt, webvtt."""

from __future__ import annotations

import html
import io
import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import pylrc
import pysubs2
import pytest
import srt
import webvtt
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid as praat
from ttconv.imsc import reader as imsc
from ttconv.isd import ISD

from steno.captions.cues import CueStyle
from steno.captions.line_formats import LINE_FILES, LINE_FORMATS, LineFormatName, render_lines
from steno.types import Segment, Word

DURATION_S = 20.0
LINES = (
    Segment(0, 1.0, 2.5, "Under the wide", words=(Word("Under", 1.0, 1.5), Word("the", 1.5, 1.62),
                                                  Word("wide", 1.9, 2.5))),
    Segment(1, 4.0, 5.25, "Dig & “lie” <b>", words=(Word("Dig", 4.0, 4.5), Word("&", 4.5, 4.6), Word("“lie”", 4.6, 5.0),
                                                    Word("<b>", 5.0, 5.25))),
    Segment(2, 5.25, 6.0, "{你好}世界", words=(Word("{你好}", 5.25, 5.5), Word("世界", 5.5, 6.0))),
)  # fmt: skip


def made(name: LineFormatName, lines: tuple[Segment, ...] = LINES) -> str:
    return render_lines(name, lines, CueStyle(), DURATION_S, "en")


def test_every_format_has_a_file_type() -> None:
    assert set(LINE_FILES) == set(LINE_FORMATS)


def test_lrc_has_a_time_for_each_line() -> None:
    parsed = pylrc.parse(made("lrc"))
    assert [(line.time, line.text) for line in parsed if line.text] == [
        (1.0, "Under the wide"),
        (4.0, "Dig & “lie” <b>"),
        (5.25, "{你好}世界"),
    ]


def test_elrc_has_a_time_for_each_word() -> None:
    text = made("elrc")
    assert text.splitlines()[0] == "[00:01.00]<00:01.00>Under <00:01.50>the <00:01.90>wide<00:02.50>"
    parsed = [line for line in pylrc.parse(text) if line.text]
    assert [line.time for line in parsed] == [1.0, 4.0, 5.25]
    words = re.findall(r"<(\d\d:\d\d\.\d\d)>([^<]*)", parsed[2].text)
    assert words == [("00:05.25", "{你好}"), ("00:05.50", "世界"), ("00:06.00", "")]


def test_ass_is_karaoke() -> None:
    parsed = pysubs2.SSAFile.from_string(made("ass"), format_="ass")
    assert [(event.start, event.end, event.plaintext) for event in parsed] == [
        (1000, 2500, "Under the wide"),
        (4000, 5250, "Dig & “lie” <b>"),
        (5250, 6000, "｛你好｝世界"),
    ]
    durations = [int(cs) for cs in re.findall(r"\\k(\d+)", parsed[0].text)]
    assert (durations, sum(durations)) == ([50, 12, 28, 60], 150)


def test_ttml_has_a_span_for_each_word() -> None:
    document = imsc.to_model(ElementTree.ElementTree(ElementTree.fromstring(made("ttml").encode())))
    shown = {}
    for offset in ISD.significant_times(document):
        isd = ISD.from_model(document, offset)
        shown[float(offset)] = "".join(
            element.get_text()
            for region in isd.iter_regions()
            for element in region.dfs_iterator()
            if hasattr(element, "get_text")
        ).strip()
    assert shown[1.0] == "Under"
    assert shown[1.5] == "the"
    assert shown[1.9] == "wide"
    assert shown[4.5] == "&"
    assert shown[5.5] == "世界"
    assert shown[6.0] == ""


def test_textgrid_tiles_the_recording(tmp_path: Path) -> None:
    file = tmp_path / "song.TextGrid"
    file.write_text(made("textgrid"), encoding="utf-8")
    grid = praat.openTextgrid(str(file), includeEmptyIntervals=True)
    assert grid.tierNames == ("lines", "words")
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, DURATION_S)
    lines = grid.getTier("lines").entries
    assert [(start, end) for start, end, _ in lines] == [(0, 1), (1, 2.5), (2.5, 4), (4, 5.25), (5.25, 6), (6, 20)]
    assert [text for *_, text in lines if text] == [line.text for line in LINES]
    assert [text for *_, text in grid.getTier("words").entries if text] == [
        w.text for line in LINES for w in line.words
    ]


def test_quotes_in_a_textgrid_are_doubled(tmp_path: Path) -> None:
    file = tmp_path / "song.TextGrid"
    line = Segment(0, 0.5, 1.0, 'say "no"', words=(Word("say", 0.5, 0.7), Word('"no"', 0.7, 1.0)))
    file.write_text(made("textgrid", (line,)), encoding="utf-8")
    grid = praat.openTextgrid(str(file), includeEmptyIntervals=False)
    assert [text for *_, text in grid.getTier("lines").entries] == ['say "no"']


def test_subtitles_have_a_cue_for_each_line() -> None:
    cues = list(srt.parse(made("srt")))
    assert [cue.content for cue in cues] == ["Under the wide", "Dig & “lie” <b>", "{你好}世界"]
    assert [cue.start.total_seconds() for cue in cues] == [1.0, 4.0, 5.25]
    assert all(one.end <= other.start for one, other in itertools.pairwise(cues))
    captions = webvtt.from_buffer(io.StringIO(made("vtt")))
    assert [html.unescape(caption.text) for caption in captions] == ["Under the wide", "Dig & “lie” <b>", "{你好}世界"]


def test_a_long_line_has_several_cues() -> None:
    words = tuple(Word(f"word{n}", 1 + n * 0.4, 1.4 + n * 0.4) for n in range(30))
    line = Segment(0, 1.0, 13.0, " ".join(word.text for word in words), words=words)
    cues = list(srt.parse(made("srt", (line, Segment(1, 13.0, 14.0, "End", words=(Word("End", 13.0, 14.0),))))))
    assert len(cues) > 2
    assert " ".join(" ".join(cue.content.split()) for cue in cues) == f"{line.text} End"
    assert cues[-1].content == "End"


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@st.composite
def some_lines(draw: st.DrawFn) -> tuple[Segment, ...]:
    lines, at = [], 0.0
    for n, line in enumerate(draw(st.lists(st.lists(texts, min_size=1, max_size=4), max_size=4))):
        words = []
        for text in line:
            start = at + draw(st.sampled_from([0.0, 0.004, 0.3]))
            at = start + draw(st.sampled_from([0.0, 0.005, 0.5]))
            words.append(Word(text, start, at))
        lines.append(Segment(n, words[0].start_s, words[-1].end_s, " ".join(line), words=tuple(words)))
    return tuple(lines)


@given(some_lines())
def test_any_text_and_times_give_valid_files(lines: tuple[Segment, ...]) -> None:
    ElementTree.fromstring(made("ttml", lines).encode())
    events = pysubs2.SSAFile.from_string(made("ass", lines), format_="ass")
    assert all(event.end >= event.start for event in events)
    for event in events:
        assert 10 * sum(int(cs) for cs in re.findall(r"\\k(\d+)", event.text)) <= event.end - event.start + 10
    pylrc.parse(made("elrc", lines))
    grid = praat.textgrid_io.parseTextgridStr(made("textgrid", lines), includeEmptyIntervals=True)
    for tier in grid["tiers"]:
        ends = [float(end) for _, end, _ in tier["entries"]]
        starts = [float(start) for start, *_ in tier["entries"]]
        assert starts == [0, *ends[:-1]]
        assert ends[-1] == pytest.approx(float(grid["xmax"]))
