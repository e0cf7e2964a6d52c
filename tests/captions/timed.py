"""Timed words for the tests: plain ones for examples, and all that hypothesis can think of."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from steno.captions.cues import Cue, CueStyle
from steno.types import Segment, Word

SCRIPTS = {
    "latin": "abcdeéñßAZ0129 ",
    "chinese": "我们今天来谈一的了影响课堂",
    "japanese": "きょうはーっャ天気カメラ",
    "korean": "오늘은날씨가정말",
    "thai": "วันนี้อากาศดีำเ",
    "khmer": "កម្ពុជាប្រទេស",
    "arabic": "السلامعليكم\u200f\u064e",
    "hebrew": "שלוםעולם\u05b8\u200e",
    "hindi": "नमस्तेकक्षि",
    "emoji": "😀👨\u200d👩❤\ufe0f🇩🇪👍🏽",
    "marks": "e\u0301o\u0308\u200b\u00a0\u202f\u2060\x00\x1b",
    "punctuation": ".,;:?!…—-–«»“”\"'()[]<>&%$¿。，、？！「」（）：#{}\\/|",
}
END_MARKS = ["", "", "", "", ",", ".", "?", "!", "，", "。", "？", "…", " —", ":", "”", "、", "؟"]


@st.composite
def tokens(draw: st.DrawFn) -> str:
    """A word in one script, or in several, with or without a mark at its end."""
    letters = draw(st.sampled_from([*SCRIPTS.values(), "".join(SCRIPTS.values())]))
    word = draw(st.text(letters, min_size=1, max_size=draw(st.sampled_from([3, 8, 90]))))
    return word + draw(st.sampled_from(END_MARKS))


def any_time() -> st.SearchStrategy[float]:
    return st.one_of(
        st.floats(0, 30), st.integers(0, 20).map(float), st.floats(), st.sampled_from([0.0, 5.0, -1.0, float("nan")])
    )


@st.composite
def wild_segments(draw: st.DrawFn) -> list[Segment]:
    """Words at any time at all, and texts that are made of them, or nearly, or not at all."""
    made = []
    for number in range(draw(st.integers(0, 4))):
        texts = draw(st.lists(tokens(), max_size=12))
        words = tuple(Word(text, draw(any_time()), draw(any_time())) for text in texts)
        text = draw(
            st.sampled_from(
                [
                    " ".join(texts),
                    "".join(texts),
                    "",
                    "\n".join(texts).upper(),
                    "".join(char for char in " ".join(texts) if char.isalnum() or char == " "),
                    draw(st.text(max_size=30)),
                ]
            )
        )
        made.append(
            Segment(number, draw(any_time()), draw(any_time()), text, draw(st.sampled_from([None, "zh", "en"])), words)
        )
    return made


@st.composite
def spoken_segments(draw: st.DrawFn, words: st.SearchStrategy[str]) -> list[Segment]:
    """One segment of words that follow each other as in speech, with pauses now and then."""
    now_s, made = 0.0, []
    for text in draw(st.lists(words, min_size=1, max_size=60)):
        length_s = draw(st.sampled_from([0.05, 0.1, 0.2, 0.3, 0.5, 1.5, 9.0]))
        made.append(Word(text, round(now_s, 3), round(now_s + length_s, 3)))
        now_s += length_s + draw(st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.3, 0.6, 1.2]))
    return [Segment(0, 0.0, now_s, " ".join(word.text for word in made), "en", tuple(made))]


@st.composite
def styles(draw: st.DrawFn) -> CueStyle:
    shortest = draw(st.sampled_from([0.1, 0.833, 2.0]))
    return CueStyle(
        max_line_chars=draw(st.sampled_from([2, 5, 12, 42])),
        max_lines=draw(st.integers(1, 3)),
        max_cps=draw(st.sampled_from([4.0, 17.0, 40.0])),
        min_duration_s=shortest,
        max_duration_s=draw(st.sampled_from([shortest, 3.0, 7.0])) if shortest <= 3.0 else 7.0,
        gap_s=draw(st.sampled_from([0.0, 0.083, 0.5])),
        pause_s=draw(st.sampled_from([0.2, 0.5, 1.0])),
    )


def visible(text: str) -> str:
    """A text without its white space."""
    return "".join(text.split())


def words_of(
    text: str, *, start_s: float = 0.0, word_s: float = 0.3, pauses: dict[str, float] | None = None
) -> Segment:
    """A text spoken at an even pace; after a word in `pauses`, silence."""
    made = []
    now_s = start_s
    for token in text.split():
        made.append(Word(token, round(now_s, 3), round(now_s + word_s, 3)))
        now_s += word_s + (pauses or {}).get(token, 0.0)
    return Segment(0, start_s, made[-1].end_s, text, "en", tuple(made))


def shown(cues: Sequence[Cue]) -> list[tuple[str, ...]]:
    return [cue.lines for cue in cues]
