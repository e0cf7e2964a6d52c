"""Makes the timed transcripts that the golden files start from, and those: `python tests/captions/golden/make.py`.

The prose is real: the first pages of "Alice's Adventures in Wonderland" (Lewis Carroll, 1865) and of 《故乡》 (Lu Xun,
1921), both in the public domain, and a talk in Chinese and English that was written for this. Times are what a reader
at an ordinary pace gives them, with pauses at the punctuation and hesitations elsewhere, in the grain of a recogniser:
10 ms, words with their punctuation, for English; 80 ms, single characters without punctuation, as Qwen's forced
aligner has them, for the rest.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from steno.captions.cues import CueStyle, cues_of
from steno.captions.formats import FORMATS, render
from steno.types import Segment, Word

HERE = Path(__file__).parent
LANGUAGES = {"english": "en", "chinese": "zh", "mixed": "zh"}


def main() -> None:
    for name in LANGUAGES:
        text = (HERE / f"{name}.txt").read_text(encoding="utf-8")
        segments = list(english(text) if name == "english" else chinese(text))
        path = HERE / f"{name}.json"
        path.write_text(
            json.dumps([asdict(segment) for segment in segments], ensure_ascii=False, indent=None).replace(
                "}, {", "},\n{"
            )
            + "\n",
            encoding="utf-8",
        )
        for file, content in golden(name).items():
            (HERE / file).write_text(content, encoding="utf-8")


def golden(name: str) -> dict[str, str]:
    """What the golden files must hold, by file name."""
    segments = load(name)
    cues = cues_of(segments, CueStyle(), audio_end_s=segments[-1].end_s + 1)
    wanted = FORMATS if name == "mixed" else ("srt",)
    return {f"{name}.{form}": render(form, cues, language=LANGUAGES[name]) for form in wanted}


def load(name: str) -> list[Segment]:
    found = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return [Segment(**{**one, "words": tuple(Word(**word) for word in one["words"])}) for one in found]


def english(text: str) -> Iterator[Segment]:
    """A segment for each sentence, or less where there is a pause."""
    chance = random.Random(1865)
    now_s, words = 0.4, []
    number = 0
    for paragraph in text.split("\n\n"):
        for token in paragraph.split():
            syllables = max(1, len(re.findall(r"[aeiouy]+", token.lower())))
            length_s = 0.06 + syllables * chance.uniform(0.11, 0.19)
            words.append(Word(token, round(now_s, 2), round(now_s + length_s, 2)))
            pause_s = pause_after(token, chance)
            now_s += length_s + pause_s
            if re.search(r"[.?!][”)]*$", token) or pause_s >= 0.6:
                yield segment(number, " ".join(word.text for word in words), "en", words)
                number, words = number + 1, []
        now_s += 0.5


def chinese(text: str) -> Iterator[Segment]:
    """A segment for each paragraph; its words are single characters and Latin words, on a grid of 80 ms."""
    chance = random.Random(1921)
    now_s = 0.4
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        words = []
        for match in re.finditer(r"[A-Za-z][\w-]*|\d+|[^\W\d_]|[^\w\s]", paragraph):
            token = match.group()
            if not token[0].isalnum():
                now_s += pause_after(token, chance) * 0.8
                continue
            spoken = len(re.findall(r"[aeiouy]+|\d", token.lower())) or 1
            length_s = spoken * chance.uniform(0.17, 0.27)
            words.append(Word(token, grid(now_s), grid(now_s + length_s)))
            now_s += length_s + (chance.uniform(0.15, 0.45) if chance.random() < 0.02 else 0)
        yield segment(number, paragraph, "zh", words)
        now_s += 0.6


def pause_after(token: str, chance: random.Random) -> float:
    if re.search(r"[.?!。？！][”’)]*$", token):
        return chance.uniform(0.3, 0.9)
    if re.search(r"[,;:，；：、—][”’)]*$", token):
        return chance.uniform(0.05, 0.35)
    return chance.uniform(0.2, 0.7) if chance.random() < 0.025 else 0.0


def segment(number: int, text: str, language: str, words: list[Word]) -> Segment:
    return Segment(number, words[0].start_s, words[-1].end_s, text, language, tuple(words))


def grid(time_s: float) -> float:
    return round(round(time_s / 0.08) * 0.08, 2)


if __name__ == "__main__":
    main()
