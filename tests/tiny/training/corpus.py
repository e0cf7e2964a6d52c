"""Many sentences, spoken once and kept on disk: training draws its clips from them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tiny.training.grammar import is_held_out, sentence
from tiny.training.voices import ESPEAK, FLITE, Spoken, speak

SENTENCES = {"en": 7000, "de": 3000}
FLITE_SHARE = 0.85
PACES = (0.85, 1.2)


@dataclass(frozen=True, slots=True)
class Utterance:
    """One spoken sentence."""

    text: str
    language: str
    voice: str
    spoken: Spoken


def speak_corpus(seed: int, sentences: dict[str, int], held_out: bool) -> list[Utterance]:
    """`sentences` of each language, all of them held out or none."""
    rng = random.Random(seed)
    said: list[Utterance] = []
    for language, count in sentences.items():
        bar = tqdm(total=count, desc=f"speaking {language}", unit="sentence")
        while bar.n < count:
            text = sentence(rng, language)
            if is_held_out(text) != held_out:
                continue
            with_flite = language == "en" and rng.random() < FLITE_SHARE
            voice = rng.choice(FLITE if with_flite else ESPEAK[language])
            try:
                spoken = speak(text, voice, rng.uniform(*PACES))
            except ValueError:
                continue  # espeak-ng reports a word twice, now and then
            said.append(Utterance(text, language, voice, spoken))
            bar.update()
        bar.close()
    return said


def training_corpus(cache: Path) -> list[Utterance]:
    """The sentences that training draws from, from `cache` if they are there."""
    file = cache / "corpus.npz"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _write(file, speak_corpus(1, SENTENCES, held_out=False))
    return _read(file)


def _write(file: Path, said: list[Utterance]) -> None:
    words = [np.array(one.spoken.words, np.float32) for one in said]
    np.savez(
        file,
        texts=np.array([f"{one.language}|{one.voice}|{one.text}" for one in said]),
        samples=np.concatenate([one.spoken.samples for one in said]),
        lengths=np.array([len(one.spoken.samples) for one in said]),
        words=np.concatenate(words),
        counts=np.array([len(one) for one in words]),
    )


def _read(file: Path) -> list[Utterance]:
    kept = np.load(file)
    samples: list[NDArray[np.int16]] = np.split(kept["samples"], np.cumsum(kept["lengths"])[:-1])
    words = np.split(kept["words"], np.cumsum(kept["counts"])[:-1])
    said = []
    for line, pcm, spans in zip(kept["texts"], samples, words, strict=True):
        language, voice, text = str(line).split("|")
        said.append(Utterance(text, language, voice, Spoken(pcm, tuple((float(a), float(b)) for a, b in spans))))
    return said
