"""Stable text is never revised, whatever the recogniser says next."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from steno.streaming.hypothesis import LocalAgreement
from steno.types import Hypothesis, Word


def said(text: str, *words: Word) -> Hypothesis:
    return Hypothesis(text, "en", words)


def spoken(*texts: str) -> Hypothesis:
    """Half a second a word."""
    return said(" ".join(texts), *(Word(text, n * 0.5, n * 0.5 + 0.5) for n, text in enumerate(texts)))


def test_a_token_is_stable_once_hypotheses_have_agreed_on_it_for_the_hold() -> None:
    agreement = LocalAgreement(hold_s=1.0)
    readings = [
        agreement.update(said(text), at) for at, text in ((0.5, "and so"), (1.0, "and so my"), (1.5, "and so my"))
    ]
    assert [(reading.stable, reading.draft) for reading in readings] == [
        ("", "and so"),
        ("", "and so my"),
        ("and so", " my"),
    ]


def test_one_hypothesis_alone_makes_nothing_stable_however_late_it_comes() -> None:
    assert LocalAgreement(hold_s=0.0).update(said("and so"), 9.0).stable == ""


def test_a_quick_model_s_text_is_shown_and_settles_nothing() -> None:
    """Only hypotheses that settle agree with each other; what comes between is made to begin with what is stable."""
    agreement = LocalAgreement(hold_s=1.0)
    agreement.update(said("and so my"), 1.0)
    for at in (1.5, 2.0, 2.5):
        quick = agreement.update(replace(said("and saw my fellow"), settles=False), at)
        assert (quick.stable, quick.text) == ("", "and saw my fellow")
    settled = agreement.update(said("and so my fellow"), 3.0)
    assert (settled.stable, settled.draft) == ("and so my", " fellow")
    quick = agreement.update(replace(said("and saw my fellows"), settles=False), 3.5)
    assert (quick.stable, quick.draft, quick.diverged) == ("and so my", " fellows", True)


def test_a_final_that_was_bound_to_what_is_stable_says_that_it_diverged() -> None:
    agreement = LocalAgreement(hold_s=0.0)
    for at in (1.0, 2.0):
        agreement.update(said("and so"), at)
    assert agreement.finish(replace(said("and so my"), diverged=True)).diverged


def test_without_a_hold_two_hypotheses_that_agree_are_enough() -> None:
    agreement = LocalAgreement(hold_s=0.0)
    agreement.update(said("and so"), 1.0)
    assert agreement.update(said("and saw"), 1.1).stable == "and"


def test_a_token_that_changed_begins_its_hold_anew_and_so_do_those_behind_it() -> None:
    agreement = LocalAgreement(hold_s=1.0)
    agreement.update(said("and saw my"), 0.5)
    agreement.update(said("and so my"), 1.0)
    assert agreement.update(said("and so my"), 1.5).stable == "and"
    assert agreement.update(said("and so my"), 2.0).stable == "and so my"


def test_a_hypothesis_that_revises_stable_text_is_made_to_fit() -> None:
    agreement = LocalAgreement(hold_s=0.0)
    agreement.update(said("and so my fellow"), 1.0)
    agreement.update(said("and so my fellow"), 2.0)
    reading = agreement.update(said("And saw, my fellow americans"), 3.0)
    assert (reading.stable, reading.draft, reading.diverged) == ("and so my fellow", " americans", True)


def test_a_final_begins_with_what_was_stable_even_if_the_recogniser_lost_it() -> None:
    agreement = LocalAgreement(hold_s=0.0)
    agreement.update(said("ask not"), 1.0)
    agreement.update(said("ask not"), 2.0)
    reading = agreement.finish(said("what"))
    assert (reading.stable, reading.draft, reading.diverged) == ("ask not", "", True)


def test_a_final_that_says_nothing_keeps_what_was_stable() -> None:
    agreement = LocalAgreement(hold_s=0.0)
    for at in (1.0, 2.0):
        agreement.update(said("ask not"), at)
    assert agreement.finish(said("")).text == "ask not"


def test_words_keep_their_times_and_those_of_stable_text_stay_when_it_is_made_to_fit() -> None:
    agreement = LocalAgreement(hold_s=0.0)
    for at in (1.0, 2.0):
        agreement.update(spoken("and", "so", "my"), at)
    reading = agreement.finish(spoken("and", "saw", "my", "fellow"))
    assert reading.text == "and so my fellow"
    assert [(word.text, word.start_s) for word in reading.words] == [
        ("and", 0.0),
        ("so", 0.5),
        ("my", 1.0),
        ("fellow", 1.5),
    ]


def test_words_that_do_not_make_up_the_text_are_left_out() -> None:
    reading = LocalAgreement(hold_s=1.0).finish(said("and so, my fellow", Word("and", 0, 1), Word("fellow", 1, 2)))
    assert reading.words == ()


def test_chinese_is_stable_character_by_character() -> None:
    agreement = LocalAgreement(hold_s=0.0)
    agreement.update(said("今天天气"), 1.0)
    assert agreement.update(said("今天天晴。"), 2.0).stable == "今天天"


def test_text_that_is_made_to_fit_gets_a_space_where_its_script_has_one() -> None:
    agreement = LocalAgreement(hold_s=0.0)
    for at in (1.0, 2.0):
        agreement.update(said("ask not"), at)
    assert agreement.finish(said("country")).text in ("ask not", "ask not country")
    chinese = LocalAgreement(hold_s=0.0)
    for at in (1.0, 2.0):
        chinese.update(said("今天"), at)
    assert chinese.finish(said("今天天气")).text == "今天天气"


TEXTS = st.lists(st.sampled_from(["and", "so", "so,", "my", "fellow", "今", "天", "Ask"]), max_size=8).map(" ".join)


@given(st.lists(st.tuples(TEXTS, st.floats(0, 1)), max_size=12), TEXTS, st.sampled_from([0.0, 0.5, 1.0]))
def test_stable_text_only_grows_and_every_text_begins_with_it(
    heard: list[tuple[str, float]], last: str, hold_s: float
) -> None:
    agreement = LocalAgreement(hold_s)
    stable, at = "", 0.0
    for text, step in heard:
        at += step
        reading = agreement.update(said(text), at)
        assert reading.stable.startswith(stable)
        stable = reading.stable
    final = agreement.finish(said(last))
    assert final.text.startswith(stable)
    assert final.draft == ""
    if last.startswith(stable) and not final.diverged:
        assert final.text == last.strip()


@given(TEXTS)
def test_a_hypothesis_that_agrees_is_passed_on_as_it_is(text: str) -> None:
    agreement = LocalAgreement(hold_s=0.0)
    for at in (1.0, 2.0, 3.0):
        reading = agreement.update(said(text), at)
    assert (reading.text, reading.diverged) == (text.strip(), False)


def timed(*words: tuple[str, float, float]) -> Hypothesis:
    return said(" ".join(text for text, _, _ in words), *(Word(*word) for word in words))


def test_a_word_that_moves_over_the_join_is_emitted_once() -> None:
    agreement = LocalAgreement(hold_s=0.0)
    for at in (1.0, 1.1):
        agreement.update(timed(("clear", 0.0, 0.4), ("in", 0.4, 0.6), ("the", 0.6, 0.8)), at)
    later = timed(("dear", 0.0, 0.35), ("in", 0.35, 0.7), ("a", 0.7, 0.78), ("the", 0.78, 1.0), ("morning", 1.0, 1.6))
    assert agreement.update(later, 1.7).text == "clear in the morning"


def test_words_of_the_moment_of_stable_ones_are_not_emitted_again() -> None:
    agreement = LocalAgreement(hold_s=0.0)
    for at in (1.5, 1.6):
        agreement.update(timed(("in", 0.0, 0.2), ("the", 0.2, 0.4), ("morning", 0.4, 1.0)), at)
    later = timed(("the", 0.0, 0.3), ("mining", 0.35, 0.95), ("with", 1.0, 1.2), ("a", 1.2, 1.3), ("little", 1.3, 1.7))
    assert agreement.update(later, 1.8).text == "in the morning with a little"


def test_a_word_that_is_spoken_twice_is_emitted_twice() -> None:
    agreement = LocalAgreement(hold_s=0.0)
    for at in (1.0, 1.1):
        agreement.update(timed(("very", 0.0, 0.5)), at)
    later = timed(("fairly", 0.0, 0.5), ("very", 1.1, 1.6), ("cold", 1.6, 2.0))
    assert agreement.update(later, 2.1).text == "very very cold"


def test_a_word_that_ends_within_a_token_is_not_emitted_again() -> None:
    agreement = LocalAgreement(hold_s=0.0)
    for at in (1.0, 1.1):
        agreement.update(said("well-known", Word("well", 0.0, 0.4), Word("-known", 0.4, 0.9)), at)
    later = said("Well-known fact", Word("Well", 0.0, 0.4), Word("-known", 0.7, 1.2), Word("fact", 1.2, 1.6))
    assert agreement.update(later, 1.7).text == "well-known fact"


WORDS = ("the", "a", "rain", "cold", "in", "morning")
MISHEARD = ("thee", "ran", "coal", "mourning")
"""Never equal to a neighbour: whether such a word is spoken twice or moved, times alone cannot tell."""


@st.composite
def _talks(draw: st.DrawFn) -> tuple[list[str], list[list[tuple[str, float, float]]]]:
    """A sentence of unlike neighbours, half a second a word, and hypotheses of its growing beginning, each with words
    misrecognised and times moved by up to a tenth of a second."""
    said = draw(st.lists(st.sampled_from(WORDS), min_size=3, max_size=12))
    sentence = [word for n, word in enumerate(said) if n == 0 or word != said[n - 1]]
    hypotheses = []
    for count in range(1, len(sentence) + 1):
        hypothesis, after_s = [], 0.0
        for n, word in enumerate(sentence[:count]):
            text = MISHEARD[n % len(MISHEARD)] if draw(st.integers(0, 5)) == 0 else word
            start_s = max(0.5 * n + draw(st.floats(-0.1, 0.1)), after_s)
            after_s = max(0.5 * (n + 1) + draw(st.floats(-0.1, 0.1)), start_s + 0.05)
            hypothesis.append((text, start_s, after_s))
        hypotheses.append(hypothesis)
    return sentence, hypotheses


@given(_talks(), st.sampled_from([0.0, 0.5, 1.0]))
def test_no_word_of_one_moment_is_emitted_twice_and_none_is_lost(
    talk: tuple[list[str], list[list[tuple[str, float, float]]]], hold_s: float
) -> None:
    sentence, hypotheses = talk
    agreement = LocalAgreement(hold_s)
    for count, hypothesis in enumerate(hypotheses, 1):
        reading = agreement.update(timed(*hypothesis), 0.5 * count)
        assert len(reading.text.split()) == count, "each hypothesis has a word for each half second"
        starts = [word.start_s for word in reading.words]
        assert starts == sorted(starts)
    assert len(agreement.finish(timed(*hypotheses[-1])).text.split()) == len(sentence)
