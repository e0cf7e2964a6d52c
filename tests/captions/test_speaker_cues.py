"""Cues of several speakers: a new speaker begins a new cue, short ones share one, labels are as asked."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import webvtt

from steno.captions.cues import Cue, CueStyle, with_text
from steno.captions.formats import labels_in_text, render
from steno.captions.speaker_cues import SpeakerLabels, cues_by_speaker, labelled_cue
from steno.types import Segment, Word

STYLE = CueStyle()


def said(number: int, speaker: str | None, text: str, start_s: float, each_s: float = 0.3) -> Segment:
    words = tuple(
        Word(word, round(start_s + n * each_s, 3), round(start_s + (n + 1) * each_s, 3))
        for n, word in enumerate(text.split())
    )
    return Segment(number, start_s, words[-1].end_s, text, "en", words, speaker=speaker)


LONG = said(0, "A", "The weather will be cold and clear in the morning.", 0.0)
ANSWER = said(1, "B", "I did not expect that much rain in the afternoon.", 3.1)
SHORT = (said(0, "A", "Are you sure?", 0.0), said(1, "B", "Yes.", 1.0))


def made(segments: tuple[Segment, ...], labels: SpeakerLabels = "dash", style: CueStyle = STYLE) -> list[Cue]:
    return cues_by_speaker(segments, style, labels, audio_end_s=20.0)


def test_a_new_speaker_begins_a_new_cue() -> None:
    assert [(set(cue.speakers), cue.text) for cue in made((LONG, ANSWER))] == [
        ({"A"}, LONG.text),
        ({"B"}, ANSWER.text),
    ]


def test_two_short_cues_share_one_with_a_dash_each() -> None:
    (cue,) = made(SHORT)
    assert labelled_cue(cue, "dash").lines == ("- Are you sure?", "- Yes.")
    assert labelled_cue(cue, "none").lines == ("Are you sure?", "Yes.")
    assert labelled_cue(cue, "name").lines == ("A: Are you sure?", "B: Yes.")


def test_a_cue_of_one_speaker_has_no_dash() -> None:
    assert "- " not in render("srt", made((LONG, ANSWER)), labels="dash")


def test_one_line_is_not_shared() -> None:
    assert len(made(SHORT, style=CueStyle(max_lines=1))) == 2


def test_names_stand_before_the_first_line_of_a_cue_and_fit_its_width() -> None:
    cues = [labelled_cue(cue, "name") for cue in made((LONG, ANSWER), "name")]
    assert [cue.lines[0][:3] for cue in cues] == ["A: ", "B: "]
    assert all(":" not in line for cue in cues for line in cue.lines[1:])
    assert max(len(line) for cue in cues for line in cue.lines) <= STYLE.max_line_chars


def test_a_long_name_has_a_line_of_its_own() -> None:
    name = "Dr. Margaret Thompson-Smith"
    segments = (replace(LONG, speaker=name), said(1, "B", "Yes.", 3.2), said(2, name, "No.", 3.9))
    cues = [labelled_cue(cue, "name") for cue in made(segments, "name")]
    lines = [line for cue in cues for line in cue.lines]
    assert max(map(len, lines)) <= STYLE.max_line_chars
    assert max(len(cue.lines) for cue in cues) <= STYLE.max_lines
    assert lines.count(f"{name}:") == sum(name in cue.speakers for cue in cues)
    assert lines[-3:] == ["B: Yes.", f"{name}:", "No."]


def test_names_take_no_room_in_webvtt() -> None:
    assert labels_in_text("vtt", "name") == "none"
    assert labels_in_text("vtt", "dash") == labels_in_text("srt", "dash") == "dash"
    assert labels_in_text("srt", "name") == "name"


def test_rows_have_one_time_and_so_one_speaker() -> None:
    cues = made(SHORT)
    assert render("tsv", cues, labels="name").splitlines()[1:] == ["0\t900\tA: Are you sure?", "1000\t1833\tB: Yes."]
    assert render("lrc", cues, labels="dash").splitlines()[:2] == ["[00:00.00]Are you sure?", "[00:01.00]Yes."]


def test_cues_are_in_order_and_do_not_overlap() -> None:
    cues = made((LONG, said(1, "B", "No.", 3.0), said(2, "A", "It will be clear in the morning anyway.", 3.2)))
    assert all(one.end_s <= other.start_s for one, other in pairwise(cues))
    assert all(cue.start_s < cue.end_s for cue in cues)


def test_webvtt_has_voice_tags_that_a_parser_reads() -> None:
    segments = (said(0, "A & <b>", "Are you sure?", 0.0), said(1, "B", "Yes.", 1.0))
    text = render("vtt", made(segments), labels="name")
    assert "<v A &amp; &lt;b&gt;>Are you sure?</v>\n<v B>Yes.</v>" in text
    (caption,) = webvtt.from_string(text).captions
    assert caption.text == "Are you sure?\nYes."


def test_without_speakers_the_cues_are_as_before() -> None:
    plain = (said(0, None, LONG.text, 0.0), said(1, None, ANSWER.text, 3.1))
    assert all(cue.speakers == () for cue in made(plain))
    assert render("vtt", made(plain), labels="name") == render("vtt", made(plain))


def test_a_translation_of_one_speaker_keeps_its_name_and_one_of_two_has_none() -> None:
    assert set(with_text(made((LONG,))[0], "Il fera froid.", STYLE).speakers) == {"A"}
    shared = with_text(made(SHORT)[0], "Tu es sûr ? Oui.", STYLE)
    assert labelled_cue(shared, "dash").lines == ("Tu es sûr ? Oui.",)
