from __future__ import annotations

from dataclasses import replace

import pytest

from steno.turn_detection.turn_judge import TurnJudge
from steno.turn_detection.turn_probability import PATIENCE_S, as_pause_lasts, by_recogniser, by_sound
from steno.types import Hypothesis
from turn_detection.test_smart_turn import spoken


@pytest.fixture(scope="module")
def judge() -> TurnJudge:
    return TurnJudge()


def test_the_words_of_a_sentence_tell_that_it_goes_on_where_its_sound_does_not(judge: TurnJudge) -> None:
    heard = judge.completeness(spoken("meeting.flac", 4.6))
    assert heard > 0.9
    whole = judge.probability(Hypothesis("Mr. Thomas Brown will meet the president on the 23rd of March.", "en"), heard)
    cut = judge.probability(Hypothesis("Mr. Thomas Brown will meet the.", "en"), heard)
    assert whole > 0.6
    assert cut < 0.2


def test_the_sound_counts_beside_the_words(judge: TurnJudge) -> None:
    said = Hypothesis("We should be at the station before then.", "en")
    assert judge.probability(said, 0.95) > judge.probability(said, 0.05) + 0.05


@pytest.mark.parametrize("hypothesis", [None, Hypothesis("Wir sind am", "de"), Hypothesis("", "en")])
def test_without_english_words_the_sound_decides_alone(judge: TurnJudge, hypothesis: Hypothesis | None) -> None:
    unlikely, likely = (judge.probability(hypothesis, sound) for sound in (0.02, 0.98))
    assert [unlikely, likely] == [by_sound(0.02), by_sound(0.98)]
    assert unlikely < 0.4
    assert likely > 0.6


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_recogniser_that_is_sure_of_an_end_makes_it_likelier_and_the_sound_is_not_asked(
    judge: TurnJudge, language: str
) -> None:
    said = Hypothesis("We should be at the station before then", language)
    inside, unsure, end = (judge.probability(replace(said, sentence_end=told), None) for told in (-1.5, 0.0, 1.5))
    assert inside < unsure - 0.1
    assert end > unsure + 0.1


def test_a_longer_pause_is_likelier_an_end() -> None:
    assert as_pause_lasts(0.3, 0.0) == pytest.approx(0.3)
    odds = [p / (1 - p) for p in (as_pause_lasts(0.3, PATIENCE_S * n) for n in (0, 1, 2))]
    assert odds[1] / odds[0] == pytest.approx(odds[2] / odds[1]) == pytest.approx(2.71828, rel=1e-5)


@pytest.mark.parametrize("completeness", [0.0, 1.0])
def test_no_sound_makes_it_certain(completeness: float) -> None:
    assert 0 < by_sound(completeness) < 1
    assert 0 < by_sound(completeness, (0.0, 0.0)) < 1


def test_words_that_end_no_sentence_weigh_against_the_recogniser() -> None:
    assert by_recogniser(1.0, (-6.0, -2.0)) < 0.5 < by_recogniser(1.0)
