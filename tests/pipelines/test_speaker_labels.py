"""Words and segments get speakers; a change of speakers inside a segment divides it at a word."""

from __future__ import annotations

from steno.pipelines.speaker_labels import labelled
from steno.speakers.diarizer import Diarization
from steno.speakers.speaker_turns import SpeakerTurn
from steno.types import Segment, Word

AB = ("A", "B")


def words(text: str, start_s: float = 0.0, each_s: float = 0.5) -> tuple[Word, ...]:
    return tuple(
        Word(word, start_s + n * each_s, start_s + (n + 1) * each_s, 0.9) for n, word in enumerate(text.split())
    )


def segment(text: str, start_s: float = 0.0, number: int = 0, each_s: float = 0.5) -> Segment:
    said = words(text, start_s, each_s)
    return Segment(number, start_s, said[-1].end_s, text, "en", said, 0.9)


def turns(*spans: tuple[float, float, int]) -> Diarization:
    return Diarization(tuple(SpeakerTurn(*span, 0.8) for span in spans), AB)


def test_a_segment_of_one_speaker_stays_whole() -> None:
    (found,) = labelled([segment("How are you?")], turns((0, 1.5, 0)))
    assert (found.speaker, [word.speaker for word in found.words]) == ("A", ["A", "A", "A"])
    assert found.words[0].speaker_confidence == 0.8


def test_a_change_inside_a_segment_goes_to_the_nearest_word_boundary() -> None:
    found = labelled([segment("how are you I am fine")], turns((0, 1.6, 0), (1.6, 3.0, 1)))
    assert [(each.id, each.speaker, each.text, each.start_s, each.end_s) for each in found] == [
        (0, "A", "how are you", 0.0, 1.5),
        (1, "B", "I am fine", 1.5, 3.0),
    ]


def test_later_segments_are_numbered_anew() -> None:
    found = labelled([segment("yes no"), segment("good", 1.0, 1)], turns((0, 0.5, 0), (0.5, 1.0, 1), (1.0, 1.5, 0)))
    assert [(each.id, each.speaker) for each in found] == [(0, "A"), (1, "B"), (2, "A")]


def test_a_very_short_island_inside_a_sentence_is_smoothed() -> None:
    found = labelled([segment("one two three", each_s=0.4)], turns((0, 0.4, 0), (0.4, 0.8, 1), (0.8, 1.2, 0)))
    assert [each.speaker for each in found] == ["A"]


def test_a_short_sentence_of_its_own_is_no_island() -> None:
    found = labelled([segment("Really? Yes. Good.", each_s=0.4)], turns((0, 0.4, 0), (0.4, 0.8, 1), (0.8, 1.2, 0)))
    assert [(each.speaker, each.text) for each in found] == [("A", "Really?"), ("B", "Yes."), ("A", "Good.")]


def test_a_word_outside_all_turns_has_the_nearest_speaker() -> None:
    (found,) = labelled([segment("hello", 5.0)], turns((0, 1, 0), (5.6, 7, 1)))
    assert found.speaker == "B"


def test_segments_without_word_times_are_divided_by_length_and_stay_without() -> None:
    text = Segment(0, 0.0, 4.0, "aaaa bbbb cccc dddd", "en")
    found = labelled([text], turns((0, 2, 0), (2, 4, 1)))
    assert [(each.speaker, each.text, each.words) for each in found] == [
        ("A", "aaaa bbbb", ()),
        ("B", "cccc dddd", ()),
    ]


def test_without_turns_nothing_has_a_speaker() -> None:
    (found,) = labelled([segment("hum")], Diarization((), ()))
    assert found.speaker is None
