"""Cues of plain speech, one rule at a time."""

from __future__ import annotations

import pytest

from captions.timed import shown, words_of
from steno.captions.cues import Cue, CueStyle, cues_of, rebreak, with_text
from steno.types import Segment, Word

STYLE = CueStyle()


def cues(text: str, *, style: CueStyle = STYLE, **how: object) -> list[Cue]:
    segment = words_of(text, **how)  # type: ignore[arg-type]
    return cues_of([segment], style, audio_end_s=segment.end_s + 1)


def characters(text: str, tokens: list[str], language: str | None, each_s: float = 0.2) -> list[Cue]:
    words = tuple(Word(token, round(n * each_s, 3), round((n + 1) * each_s, 3)) for n, token in enumerate(tokens))
    return cues_of([Segment(0, 0, words[-1].end_s, text, language, words)], STYLE, audio_end_s=60)


def test_a_sentence_that_fits_is_one_cue() -> None:
    assert cues("It rained all day.") == [
        Cue(
            0.0,
            1.2,
            ("It rained all day.",),
            "It rained all day.",
            (Word("It", 0.0, 0.3), Word("rained", 0.3, 0.6), Word("all", 0.6, 0.9), Word("day.", 0.9, 1.2)),
            "en",
        )
    ]


def test_a_cue_ends_with_its_sentence_though_the_next_one_would_fit() -> None:
    assert shown(cues("It rained all day. Nobody went out.")) == [("It rained all day.",), ("Nobody went out.",)]


def test_a_sentence_of_one_word_joins_its_neighbour() -> None:
    assert shown(cues("Yes. It rained all day.")) == [("Yes. It rained all day.",)]


def test_a_sentence_too_short_to_be_read_joins_its_neighbour() -> None:
    assert shown(cues("I know. It rained all day.", word_s=0.2)) == [("I know. It rained all day.",)]
    assert shown(cues("I know. It rained all day.", word_s=0.5)) == [("I know.",), ("It rained all day.",)]


def test_short_sentences_join_two_by_two_and_not_all_in_one() -> None:
    assert shown(cues("Yes. It rained all day. No. Nobody went out.")) == [
        ("Yes. It rained all day.",),
        ("No. Nobody went out.",),
    ]


def test_a_sentence_of_one_word_between_pauses_stays_alone_and_long_enough_to_read() -> None:
    [yes, rest] = cues("Yes. It rained all day.", pauses={"Yes.": 0.8})
    assert (yes.lines, yes.start_s, yes.end_s) == (("Yes.",), 0.0, 1.017)
    assert (rest.lines, rest.start_s) == (("It rained all day.",), 1.1)


def test_an_abbreviation_does_not_end_a_sentence() -> None:
    text = "We met Dr. Smith at 5 p.m. on Jan. 3 in St. Mary's."
    assert shown(cues(text)) == [("We met Dr. Smith at 5 p.m.", "on Jan. 3 in St. Mary's.")]


def test_a_question_inside_a_sentence_does_not_end_it() -> None:
    assert shown(cues("“Where is it?” she asked him.", word_s=0.3)) == [("“Where is it?” she asked him.",)]


def test_a_long_sentence_is_cut_at_its_commas() -> None:
    text = (
        "When the water came over the bank, the people who lived near the bridge ran up the hill, "
        "and the others waited on their roofs."
    )
    assert shown(cues(text)) == [
        ("When the water came over the bank,",),
        ("the people who lived near", "the bridge ran up the hill,"),
        ("and the others waited on their roofs.",),
    ]


def test_lines_are_balanced_and_do_not_end_with_an_article() -> None:
    assert shown(cues("The committee that met in the spring had chosen a river.")) == [
        ("The committee that met", "in the spring had chosen a river."),
    ]


def test_a_pause_ends_a_cue() -> None:
    [first, second] = cues("He opened the old door and looked around the room", pauses={"door": 0.7})
    assert (first.lines, second.lines) == (("He opened the old door",), ("and looked around the room",))


def test_a_hesitation_does_not_leave_a_word_alone_but_a_long_pause_does() -> None:
    assert shown(cues("how she was to get out again.", pauses={"out": 0.7})) == [("how she was to get out again.",)]
    assert len(cues("how she was to get out again.", pauses={"out": 1.2})) == 2


def test_a_fast_cue_stays_on_into_the_silence_after_it() -> None:
    [fast, slow] = cues(
        "considerable misunderstandings notwithstanding. Then silence.", word_s=0.3, pauses={"notwithstanding.": 4}
    )
    assert fast.end_s == pytest.approx(len("considerable misunderstandings notwithstanding.") / 17, abs=0.001)
    assert slow.start_s == 4.9


def test_a_sentence_is_cut_so_that_its_fast_part_has_more_time() -> None:
    def first_cue_words(lengths_s: list[float]) -> int:
        ends_s = [round(sum(lengths_s[: n + 1]), 3) for n in range(15)]
        words = tuple(Word("whatever", end - length, end) for end, length in zip(ends_s, lengths_s, strict=True))
        return len(
            cues_of([Segment(0, 0, 20, " ".join(["whatever"] * 15), "en", words)], STYLE, audio_end_s=20)[0].words
        )

    assert first_cue_words([0.6] * 15) == 7
    assert first_cue_words([0.2] * 7 + [0.8] * 8) == 8


def test_short_gaps_are_closed_and_long_ones_are_left() -> None:
    one, two, three = cues(
        "There was a man here. Then he was gone. And he came back.", pauses={"here.": 0.4, "gone.": 1.5}
    )
    assert two.start_s - one.end_s == pytest.approx(0.083)
    assert three.start_s - two.end_s == pytest.approx(1.5)


def test_no_cue_ends_after_the_audio() -> None:
    segment = words_of("Stop.", start_s=9.6)
    assert cues_of([segment], STYLE, audio_end_s=10.0)[0].end_s == 10.0
    assert cues_of([segment], STYLE, audio_end_s=None)[0].end_s == 10.433


def test_a_cue_has_no_more_seconds_than_allowed_whatever_its_words_say() -> None:
    [cue] = cues("Ommm", word_s=30.0)
    assert (cue.start_s, cue.end_s) == (0.0, 7.0)


def test_a_word_wider_than_a_line_is_cut_and_all_of_it_is_kept() -> None:
    word = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
    [cue] = cues(word, word_s=4.0)
    assert "".join(cue.lines) == word
    assert [len(line) for line in cue.lines] == [40, 40]


def test_the_text_of_the_segment_is_shown_where_the_words_differ() -> None:
    words = tuple(Word(text, n * 0.5, n * 0.5 + 0.5) for n, text in enumerate(["hello", "twenty", "three", "people"]))
    [cue] = cues_of([Segment(0, 0, 2, "Hello – 23 people!", "en", words)], STYLE, audio_end_s=None)
    assert cue.lines == ("Hello – 23 people!",)
    assert [(word.text, word.start_s) for word in cue.words] == [("Hello –", 0.0), ("23", 0.5), ("people!", 1.5)]


def test_segments_without_a_text_show_their_words() -> None:
    words = (Word(" It", 0, 0.5), Word(" rained.", 0.5, 1))
    assert shown(cues_of([Segment(0, 0, 1, " ", "en", words)], STYLE, audio_end_s=None)) == [("It rained.",)]


def test_a_segment_without_words_is_spread_over_its_time() -> None:
    text = "This is a sentence without any words of its own, and it is much too long for a single cue on the screen."
    made = cues_of([Segment(0, 10, 18, text)], STYLE, audio_end_s=18)
    assert len(made) == 2
    assert (made[0].start_s, made[-1].end_s) == (10.0, 18.0)


def test_nothing_said_is_no_cue() -> None:
    assert cues_of([], STYLE, audio_end_s=5) == []
    assert (
        cues_of([Segment(0, 0, 1, "  \n"), Segment(1, 1, 2, "", None, (Word(" ", 1, 2),))], STYLE, audio_end_s=5) == []
    )


def test_a_sentence_goes_on_from_one_segment_into_the_next() -> None:
    one, two = words_of("We went to the"), words_of("market.", start_s=1.2)
    assert shown(cues_of([one, two], STYLE, audio_end_s=None)) == [("We went to the market.",)]


def test_chinese_is_joined_without_spaces_and_broken_at_its_punctuation() -> None:
    text = "其实很多老师已经开始使用这些工具，但是学生们并不真正理解它们。"
    tokens = [char for char in text if char.isalpha()]
    assert shown(characters(text, tokens, "zh")) == [
        ("其实很多老师已经开始使用这些工具，", "但是学生们并不真正理解它们。")
    ]


def test_chinese_segments_join_without_a_space_and_words_without_a_text_too() -> None:
    one = Segment(0, 0, 0.4, "", "zh", (Word("你", 0, 0.2), Word("好", 0.2, 0.4)))
    two = Segment(1, 0.4, 0.8, "世界", "zh", (Word("世", 0.4, 0.6), Word("界", 0.6, 0.8)))
    assert shown(cues_of([one, two], STYLE, audio_end_s=None)) == [("你好世界",)]


def test_chinese_and_latin_stand_together_as_the_text_has_them() -> None:
    text = "我用Python写代码，用 Rust 写 driver。"
    tokens = ["我", "用", "Python", "写", "代", "码", "用", "Rust", "写", "driver"]
    assert shown(characters(text, tokens, "zh")) == [(text,)]


def test_a_line_of_chinese_holds_21_characters() -> None:
    assert rebreak("一二三四五六七八九十一二三四五六七八九十一", STYLE) == (
        "一二三四五六七八九十一二三四五六七八九十一",
    )
    assert len(rebreak("一二三四五六七八九十一二三四五六七八九十一二", STYLE)) == 2


def test_no_line_of_chinese_begins_with_a_comma_or_ends_with_an_opening_quote() -> None:
    for width in range(8, 42):
        for line in rebreak("他说：“你好，世界！”（真的吗？）我说：「是的。」", CueStyle(max_line_chars=width)):
            assert line[0] not in "，。！？”）」："
            assert line[-1] not in "“（「"


def test_japanese_is_broken_between_phrases() -> None:
    assert rebreak("今日は天気がいいので、散歩に行きましょうと母が言っていました。", CueStyle(max_line_chars=30)) == (
        "今日は天気がいいので、",
        "散歩に行きましょうと",
        "母が言っていました。",
    )


def test_thai_is_broken_only_where_words_begin() -> None:
    tokens = ["วันนี้", "อากาศ", "ดีมาก", "เรา", "ไป", "เดินเล่น", "ที่", "สวนสาธารณะ", "กัน", "เถอะ"]
    [cue] = cues_of(
        [Segment(0, 0, 4, "".join(tokens), "th", tuple(Word(t, n * 0.4, n * 0.4 + 0.4) for n, t in enumerate(tokens)))],
        CueStyle(max_line_chars=25, max_lines=3),
        audio_end_s=None,
    )
    assert "".join(cue.lines) == "".join(tokens)
    ends = ["".join(tokens[: n + 1]) for n in range(len(tokens))]
    assert all("".join(cue.lines[: n + 1]) in ends for n in range(len(cue.lines)))


def test_words_that_cut_through_a_thai_character_do_not_part_it() -> None:
    tokens = ["ก", "ำก", "ำก", "ำก", "ำ"]
    words = tuple(Word(token, n * 0.5, n * 0.5 + 0.5) for n, token in enumerate(tokens))
    made = cues_of([Segment(0, 0, 2.5, "".join(tokens), "th", words)], CueStyle(max_line_chars=3), audio_end_s=None)
    assert [line for cue in made for line in cue.lines] == ["กำ", "กำ", "กำ", "กำ"]


def test_right_to_left_text_keeps_its_order_and_its_marks() -> None:
    text = "\u200fשלום לכולם,\u200f היום נדבר על ההיסטוריה של ירושלים, עיר שנבנתה פעמים רבות."
    assert " ".join(line for cue in cues(text) for line in cue.lines) == text


def test_emoji_count_two_columns_and_families_stay_together() -> None:
    family = "👨\u200d👩\u200d👧"
    assert rebreak(family * 4, CueStyle(max_line_chars=4)) == (family * 2, family * 2)


def test_a_translation_takes_as_few_lines_as_it_needs_and_more_than_the_box_has_rather_than_wider_ones() -> None:
    assert rebreak("Guten Morgen,\nmeine Damen und Herren", STYLE) == ("Guten Morgen, meine Damen und Herren",)
    assert rebreak("Es war einmal ein König, " * 5, STYLE) == (
        "Es war einmal ein König, Es war einmal",
        "ein König, Es war einmal ein König, Es war",
        "einmal ein König, Es war einmal ein König,",
    )


def test_a_reworded_cue_keeps_its_times() -> None:
    cue = Cue(1.25, 3.5, ("Good morning.",), "Good morning.", (Word("Good", 1.25, 2), Word("morning.", 2, 3)), "en")
    assert with_text(cue, " 早上 \n好。", STYLE, "zh") == Cue(1.25, 3.5, ("早上 好。",), "早上 好。", (), "zh")


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_line_chars": 1},
        {"max_lines": 0},
        {"max_cps": 0.0},
        {"min_duration_s": -1.0},
        {"max_duration_s": float("nan")},
        {"gap_s": -0.1},
        {"pause_s": float("inf")},
        {"min_duration_s": 9.0},
    ],
)
def test_a_style_that_makes_no_sense_is_refused_by_the_name_of_its_field(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CueStyle(**wrong)  # type: ignore[arg-type]
