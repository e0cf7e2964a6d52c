"""A talk made for `benchmarks.alignment`: sentences of a large vocabulary, one voice, pauses, a quiet room."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.songs import RATE, VOICE_RMS, Recorder, SungLine, seed_voices

ROOM_DB = -45.0
SENTENCES_PER_LINE = (1, 3)

WHO = """the farmer|the old teacher|my younger brother|a famous doctor|the captain|our neighbor|the whole family
|a stranger|the baker|every student|the mayor|a quiet woman|the engineer|the small girl|his grandfather|the painter
|a tired soldier|the lawyer|the young king|a clever thief|the gardener|her best friend|the singer
|the driver|a group of children"""
DID = """carried|found|painted|forgot|remembered|followed|opened|closed|repaired|borrowed|described|measured|admired
|destroyed|collected|delivered|protected|noticed|examined|bought|sold|cleaned|moved|watched|lost"""
WHAT = """the heavy box|a broken window|the green bicycle|seven letters|an ancient map|the kitchen table|a silver spoon
|the wooden bridge|the morning paper|a bag of apples|the last candle|the garden gate|an empty bottle|the winter coat
|a dozen eggs|the hidden door|the blue mountain|a pair of shoes|the church bell|an unknown language|the fishing boat
|a bottle of milk|the history book|the music box|a basket of bread"""
WHERE = """near the river|behind the station|in the middle of the forest|under the bridge|at the edge of town
|in front of the library|on the other side of the street|beside the hospital|above the valley|in a small village
|at the market|outside the school|on top of the hill|along the coast|next to the theater|inside the castle
|between two houses|across the lake|around the corner|beneath the tower"""
WHEN = """yesterday|before the storm|early in the morning|after dinner|last summer|during the war|at midnight
|a hundred years ago|on a cold evening|every Sunday|when the rain stopped|in the spring|long before that
|at the end of the year|without a word|for the first time|on the second day|just in time"""
FORMS = (
    "{when} {who} {did} {what} {where}",
    "{who} {did} {what} {where}",
    "{where} {who} {did} {what} and {did2} {what2}",
    "{who} {did} {what} because {who2} {did2} {what2}",
    "nobody knew why {who} {did} {what} {when}",
    "if {who} had {did} {what} then {who2} would have {did2} {what2}",
)


@dataclass(slots=True)
class Talk:
    """A recording, its script, and when each line of it is said. What is said beside the script has no line."""

    audio: NDArray[np.float32]
    lines: list[SungLine]
    script: str


def talk(minutes: float, seed: int = 7) -> Talk:
    """Each thirtieth line is not in the script, each thirtieth line of the script is not said."""
    seed_voices(seed)
    rng = random.Random(seed)
    recorder = Recorder()
    recorder.silence(1.0)
    lines: list[SungLine] = []
    script: list[str] = []
    while recorder.samples < minutes * 60 * RATE:
        sentences = [_sentence(rng) for _ in range(rng.randint(*SENTENCES_PER_LINE))]
        if len(script) % 30 == 15:
            script.append(_sentence(rng))
        before = len(recorder.lines)
        for sentence in sentences:
            recorder.say(sentence, "slt", rng.uniform(0.95, 1.15))
            recorder.silence(rng.uniform(0.15, 0.5))
        recorder.silence(rng.uniform(0.2, 0.9))
        said = recorder.lines[before:]
        text = " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)
        is_written = len(lines) % 30 != 25
        lines.append(SungLine(text, said[0].start_s, said[-1].end_s, is_written=is_written))
        if is_written:
            script.append(text)
    voice = np.concatenate(recorder.parts)
    room = np.random.default_rng(seed).normal(0, VOICE_RMS * 10 ** (ROOM_DB / 20), len(voice)).astype(np.float32)
    return Talk(voice + room, [line for line in lines if line.is_written], "\n".join(script))


def _sentence(rng: random.Random) -> str:
    def pick(words: str) -> str:
        return " ".join(rng.choice(words.split("|")).split())

    return rng.choice(FORMS).format(
        who=pick(WHO), did=pick(DID), what=pick(WHAT), where=pick(WHERE), when=pick(WHEN),
        who2=pick(WHO), did2=pick(DID), what2=pick(WHAT),
    )  # fmt: skip
