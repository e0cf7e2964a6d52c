from __future__ import annotations

from dataclasses import replace

import pytest

from steno.turn_detection.turn_judge import TurnJudge
from steno.turn_detection.turn_probability import PATIENCE_S, Evidence, as_pause_lasts, turn_probability
from steno.types import Hypothesis
from turn_detection.test_smart_turn import spoken


@pytest.fixture(scope="module")
def judge() -> TurnJudge:
    return TurnJudge()


def test_the_words_of_a_sentence_tell_that_it_goes_on_where_its_sound_does_not(judge: TurnJudge) -> None:
    heard = judge.completeness(spoken("meeting.flac", 4.6))
    assert heard > 0.9
    whole = judge.probability(heard, Hypothesis("Mr. Thomas Brown will meet the president on the 23rd of March.", "en"))
    cut = judge.probability(heard, Hypothesis("Mr. Thomas Brown will meet the.", "en"))
    assert whole > 0.6
    assert cut < 0.2


def test_the_sound_counts_beside_the_words(judge: TurnJudge) -> None:
    said = Hypothesis("We should be at the station before then.", "en")
    assert judge.probability(0.95, said) > judge.probability(0.05, said) + 0.05


@pytest.mark.parametrize("hypothesis", [None, Hypothesis("Wir sind am", "de"), Hypothesis("", "en")])
def test_without_english_words_the_sound_decides_alone(judge: TurnJudge, hypothesis: Hypothesis | None) -> None:
    unlikely, likely = (judge.probability(sound, hypothesis) for sound in (0.02, 0.98))
    assert [unlikely, likely] == [turn_probability(Evidence(0.02)), turn_probability(Evidence(0.98))]
    assert unlikely < 0.4
    assert likely > 0.6


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_full_stop_that_the_recogniser_is_sure_of_makes_an_end_likelier_and_a_comma_less(
    judge: TurnJudge, language: str
) -> None:
    said = Hypothesis("We should be at the station before then", language)
    comma, unsure, stop = (judge.probability(0.5, replace(said, sentence_end=told)) for told in (-1.5, 0.0, 1.5))
    assert comma < unsure - 0.1
    assert stop > unsure + 0.1


def test_a_longer_pause_is_likelier_an_end() -> None:
    assert as_pause_lasts(0.3, 0.0) == pytest.approx(0.3)
    odds = [p / (1 - p) for p in (as_pause_lasts(0.3, PATIENCE_S * n) for n in (0, 1, 2))]
    assert odds[1] / odds[0] == pytest.approx(odds[2] / odds[1]) == pytest.approx(2.71828, rel=1e-5)


@pytest.mark.parametrize("completeness", [0.0, 1.0])
def test_no_sound_makes_it_certain(completeness: float) -> None:
    assert 0 < turn_probability(Evidence(completeness)) < 1
    assert 0 < turn_probability(Evidence(completeness, 0.0, (0.0, 0.0))) < 1
