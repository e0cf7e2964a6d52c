"""Songs made for `benchmarks.alignment`: synthetic speech with known times, over a generated accompaniment.

The voices are flite's, through its library (`apt install libflite1`), which tells when each word begins. The words are
by William Blake, Emily Dickinson and Robert Louis Stevenson (public domain).
"""

from __future__ import annotations

import ctypes
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from tiny.training.grammar import sentence
from tiny.training.voices import speak

RATE = 16_000
VOICES = ("slt", "rms", "awb")
VOICE_RMS, MUSIC_DB, TINY_MUSIC_DB = 0.1, -15.0, -60.0
"""Loudness of the voice, and of the accompaniment below it. The tiny checkpoints were never taught music."""

VERSES = (
    """Tiger, tiger, burning bright
In the forests of the night,
What immortal hand or eye
Could frame thy fearful symmetry?
In what distant deeps or skies
Burnt the fire of thine eyes?
On what wings dare he aspire?
What the hand dare seize the fire?""",
    """Hope is the thing with feathers
That perches in the soul
And sings the tune without the words
And never stops at all
And sweetest in the gale is heard
And sore must be the storm
That could abash the little bird
That kept so many warm""",
    """I have a little shadow that goes in and out with me
And what can be the use of him is more than I can see
He is very very like me from the heels up to the head
And I see him jump before me when I jump into my bed
The funniest thing about him is the way he likes to grow
Not at all like proper children which is always very slow
For he sometimes shoots up taller like a rubber ball
And he sometimes goes so little that there is none of him at all""",
    """How do you like to go up in a swing
Up in the air so blue
Oh I do think it the pleasantest thing
Ever a child can do
Up in the air and over the wall
Till I can see so wide
Rivers and trees and cattle and all
Over the countryside""",
)
CHORUS = """Under the wide and starry sky
Dig the grave and let me lie
Glad did I live and gladly die
And I laid me down with a will"""
NOT_SUNG = "Because I could not stop for death he kindly stopped for me"
NOT_WRITTEN = "The morns are meeker than they were the nuts are getting brown"
AD_LIBS = ("oh yeah", "come on now", "one more time")
INTRO_S, BREAKS_S = 20.0, (28.0, 42.0, 48.0, 44.0)
"""Without a voice: before the first verse, and after each chorus."""


@dataclass(frozen=True, slots=True)
class SungLine:
    """A line of the recording."""

    text: str
    start_s: float
    end_s: float
    chorus: int = 0
    """Which chorus it belongs to, from 1; 0 = none."""
    is_written: bool = True
    """Whether the sheet has it."""


@dataclass(slots=True)
class Song:
    """A recording, what is sung in it, and two sheets of it."""

    audio: NDArray[np.float32]
    lines: list[SungLine]
    written_out: str
    """The sheet with every chorus written out."""
    chorus_once: str
    """The sheet with the chorus written once, behind the first verse."""


@dataclass(slots=True)
class Recorder:
    """Lines and silences, one after the other."""

    parts: list[NDArray[np.float32]] = field(default_factory=list)
    lines: list[SungLine] = field(default_factory=list)
    samples: int = 0

    def silence(self, seconds: float) -> None:
        self._append(np.zeros(round(seconds * RATE), np.float32))

    def say(self, text: str, voice: str, pace: float, *, chorus: int = 0, is_written: bool = True) -> None:
        spoken = speak(" ".join(re.sub(r"[^\w' ]", " ", text).split()), voice, pace)
        audio = spoken.samples.astype(np.float32) / 32768
        at_s = self.samples / RATE
        start_s, end_s = at_s + spoken.words[0][0], at_s + spoken.words[-1][1]
        self.lines.append(SungLine(text, start_s, end_s, chorus, is_written))
        loud = audio[np.abs(audio) > 0.01]
        self._append(audio * (VOICE_RMS / np.sqrt(np.mean(loud**2))))

    def _append(self, audio: NDArray[np.float32]) -> None:
        self.parts.append(audio)
        self.samples += len(audio)


def seed_voices(seed: int) -> None:
    """Make flite's next speech reproducible: its voices contain noise from the C library's generator."""
    ctypes.CDLL(None).srand(seed)


def song(seed: int, music_db: float = MUSIC_DB) -> Song:
    """Six minutes of verses and choruses for an English recogniser."""
    seed_voices(seed)
    return _song(VERSES, CHORUS, NOT_WRITTEN, NOT_SUNG, AD_LIBS, random.Random(seed), music_db)


def tiny_song(seed: int, music_db: float = TINY_MUSIC_DB) -> Song:
    """The same in the eighty words of the tiny checkpoints."""
    seed_voices(seed)
    rng = random.Random(seed)
    lines = iter(dict.fromkeys(sentence(rng, "en") for _ in range(200)))
    verses = ["\n".join(next(lines) for _ in range(8)) for _ in range(4)]
    chorus = "\n".join(next(lines) for _ in range(4))
    return _song(verses, chorus, next(lines), next(lines), [next(lines) for _ in range(3)], rng, music_db)


def _song(
    verses: Sequence[str],
    chorus: str,
    not_written: str,
    not_sung: str,
    ad_libs: Sequence[str],
    rng: random.Random,
    music_db: float,
) -> Song:
    """Four verses and four choruses with breaks; a line that the sheet lacks, one that is not sung, ad-libs."""
    recorder = Recorder()
    recorder.silence(INTRO_S)
    for n, verse in enumerate(verses):
        lines = verse.splitlines()
        voice, pace = rng.choice(VOICES), rng.uniform(1.1, 1.4)
        for k, line in enumerate(lines):
            if (n, k) == (2, 4):
                _sing(recorder, not_written, voice, pace, rng, is_written=False)
            _sing(recorder, line, voice, pace, rng)
        recorder.silence(rng.uniform(1.0, 3.0))
        voice, pace = rng.choice(VOICES), rng.uniform(1.1, 1.4)
        for line in chorus.splitlines():
            _sing(recorder, line, voice, pace, rng, chorus=n + 1)
        if n:
            _sing(recorder, ad_libs[n - 1], rng.choice(VOICES), 1.0, rng, is_written=False)
        recorder.silence(BREAKS_S[n])
    voice_track = np.concatenate(recorder.parts)
    music = accompaniment(len(voice_track), rng.randrange(1000)) * (VOICE_RMS * 10 ** (music_db / 20))
    sheet = [verse if n != 1 else _with_line(verse, not_sung, 5) for n, verse in enumerate(verses)]
    marked = [f"[Verse {n}]\n{verse}" for n, verse in enumerate(sheet, 1)]
    written_out = "\n\n".join(f"{verse}\n\n[Chorus]\n{chorus}" for verse in marked)
    chorus_once = "\n\n".join([marked[0], f"[Chorus]\n{chorus}", *marked[1:]])
    return Song(voice_track + music, recorder.lines, written_out, chorus_once)


def _sing(
    recorder: Recorder,
    line: str,
    voice: str,
    pace: float,
    rng: random.Random,
    *,
    chorus: int = 0,
    is_written: bool = True,
) -> None:
    recorder.say(line, voice, pace, chorus=chorus, is_written=is_written)
    recorder.silence(rng.uniform(0.2, 0.9))


def _with_line(verse: str, line: str, at: int) -> str:
    lines = verse.splitlines()
    return "\n".join([*lines[:at], line, *lines[at:]])


def accompaniment(samples: int, seed: int) -> NDArray[np.float32]:
    """Chords, a bass and a drum at 96 beats a minute, at an RMS of 1."""
    rng = np.random.default_rng(seed)
    beat = round(RATE * 60 / 96)
    out = np.zeros(samples + 4 * beat, np.float32)
    time = np.arange(4 * beat) / RATE
    chords = [(220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7), (164.8, 196.0, 246.9)]
    for n, start in enumerate(range(0, samples, 4 * beat)):
        for hz in chords[n % 4]:
            tone = sum(np.sin(2 * np.pi * hz * k * time) / k for k in (1, 2, 3)) * np.exp(-time / 1.5)
            out[start : start + 4 * beat] += 0.3 * tone.astype(np.float32)
        bass = np.sin(2 * np.pi * chords[n % 4][0] / 2 * time) * np.exp(-time / 0.8)
        out[start : start + 4 * beat] += 0.6 * bass.astype(np.float32)
        for hit in range(4):
            noise = rng.normal(0, 1, beat // 4) * np.exp(-np.arange(beat // 4) / (0.02 * RATE))
            at = start + hit * beat
            out[at : at + len(noise)] += 0.5 * noise.astype(np.float32)
    out = out[:samples]
    return np.asarray(out / np.sqrt(np.mean(out**2)), np.float32)
