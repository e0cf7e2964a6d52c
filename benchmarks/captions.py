"""Time for making subtitles from words and times.

    python -m benchmarks.captions [--quick] [--json out/captions.json]

- two_hours_s: cues and SRT for two hours of English, 20,000 words in sentences, with pauses. Target: 0.5.
- two_hours_fast_s: the same words without times, which are first estimated from each sentence's text (`spread`).
- two_hours_chinese_s: cues and SRT for two hours of Chinese, 28,800 characters, each with a time of its own.
- two_hours_translated_s: 1,800 translated lines broken again to fit their cues.

The first sample includes loading the phrase model for Chinese. `--quick` takes fewer samples of the same
amount.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice

from benchmarks import harness
from steno.alignment.heuristic import spread
from steno.captions.cues import CueStyle, cues_of, rebreak
from steno.captions.formats import render
from steno.types import Segment, Word

TARGETS = {"two_hours_s": 0.5}
TWO_HOURS_S = 7200.0
WORDS = 20_000
CHARACTERS = 28_800
TRANSLATED = 1800

ENGLISH = """
When the committee met again in the spring, it had three proposals before it. None of them was new. The first, which the
engineers preferred, would have moved the river itself; the second only raised the banks, and the third, the cheapest by
far, did nothing but warn people earlier. Who was to choose? There were those who said that the water had always come
and would always come, whatever anybody built, and that a town which had lived with floods for four hundred years could
live with them for another four hundred. But the younger members, most of whom had lost something in the last one, would
not hear of it.
"""
CHINESE = (
    "春天委员会再次开会的时候，面前摆着三个方案。没有一个是新的。第一个方案是工程师们最喜欢的，要把河流本身移走；"
    "第二个只是加高堤岸，而第三个，也是最便宜的，只不过是早一点提醒大家。到底应该由谁来选择呢？有人说，水总是会来的，"
    "不管人们修建什么，一个和洪水共同生活了四百年的城镇，还可以再过四百年。"
)


def main() -> None:
    options = harness.parser(__doc__).parse_args()
    report = harness.Report("captions", options)
    english, chinese = english_segments(), chinese_segments()
    bare = [replace(segment, words=()) for segment in english]
    sentences = [segment.text for segment in english] * (1 + TRANSLATED // len(english))
    for _ in range(3 if options.quick else 15):
        report.add("two_hours_s", timed(lambda: subtitles(english)))
        report.add("two_hours_fast_s", timed(lambda: subtitles([guessed(segment) for segment in bare])))
        report.add("two_hours_chinese_s", timed(lambda: subtitles(chinese)))
        report.add(
            "two_hours_translated_s", timed(lambda: [rebreak(text, CueStyle()) for text in sentences[:TRANSLATED]])
        )
    report.finish(TARGETS)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def subtitles(segments: list[Segment]) -> str:
    return render("srt", cues_of(segments, CueStyle(), audio_end_s=TWO_HOURS_S))


def guessed(segment: Segment) -> Segment:
    return replace(segment, words=spread(segment.text, segment.start_s, segment.end_s, segment.language))


def english_segments() -> list[Segment]:
    """20,000 words over two hours; a segment for each sentence."""
    chance = random.Random(2)
    tokens = list(islice(cycle(ENGLISH.split()), WORDS))
    costs = [0.5 + len(token) * chance.uniform(0.8, 1.2) for token in tokens]
    pauses = [
        chance.uniform(3, 12) if token[-1] in ".?" else chance.uniform(0, 5) if token[-1] in ",;" else 0.0
        for token in tokens
    ]
    unit_s = TWO_HOURS_S / (sum(costs) + sum(pauses))
    segments: list[Segment] = []
    words: list[Word] = []
    now_s = 0.0
    for n, (token, cost, pause) in enumerate(zip(tokens, costs, pauses, strict=True)):
        words.append(Word(token, round(now_s, 2), round(now_s + cost * unit_s, 2)))
        now_s += (cost + pause) * unit_s
        if token[-1] in ".?" or n + 1 == WORDS:
            text = " ".join(word.text for word in words)
            segments.append(Segment(len(segments), words[0].start_s, words[-1].end_s, text, "en", tuple(words)))
            words = []
    return segments


def chinese_segments() -> list[Segment]:
    """28,800 characters over two hours; segments of half a minute that end anywhere, punctuation without words."""
    spoken_s = TWO_HOURS_S / CHARACTERS
    text = CHINESE * (CHARACTERS // len(CHINESE) + 1)
    segments: list[Segment] = []
    for begin in range(0, CHARACTERS, 120):
        part = text[begin : begin + 120]
        words = tuple(
            Word(char, round((begin + n) * spoken_s, 2), round((begin + n + 1) * spoken_s, 2))
            for n, char in enumerate(part)
            if char.isalpha()
        )
        segments.append(Segment(len(segments), words[0].start_s, words[-1].end_s, part, "zh", words))
    return segments


if __name__ == "__main__":
    main()
