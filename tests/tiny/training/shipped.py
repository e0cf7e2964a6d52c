"""The clips that tests listen to: held-out sentences with their words' times, as FLAC, and `clips.json` beside them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import av
import numpy as np

from tiny.training.clips import RATE, Clip, join, telephone
from tiny.training.corpus import Utterance, speak_corpus

SEED = 2000


def write_clips(folder: Path) -> None:
    """Six single sentences, two in German, two over a telephone, and two longer talks with pauses."""
    folder.mkdir(exist_ok=True)
    english = speak_corpus(SEED, {"en": 24}, held_out=True)
    german = speak_corpus(SEED, {"de": 4}, held_out=True)
    clips = {f"english-{n}": join([one], [0.3, 0.5]) for n, one in enumerate(english[:4])}
    clips |= {f"german-{n}": join([one], [0.3, 0.5]) for n, one in enumerate(german[:2])}
    for n, one in enumerate(english[4:6]):
        clip = join([one], [0.3, 0.5])
        clips[f"telephone-{n}"] = Clip(telephone(clip.audio), clip.language, clip.text, clip.words)
    clips["talk"] = _talk(english[6:15], 1)
    clips["long-talk"] = _talk(english[6:24], 2)
    listed = {}
    for name, clip in clips.items():
        _write_flac(folder / f"{name}.flac", clip)
        words = [[word, round(a, 3), round(b, 3)] for word, (a, b) in zip(clip.text.split(), clip.words, strict=True)]
        listed[name] = {"text": clip.text, "language": clip.language, "words": words}
    text = json.dumps(listed, ensure_ascii=False, indent=1)
    (folder / "clips.json").write_text(text + "\n", encoding="utf-8")


def _talk(said: list[Utterance], seed: int) -> Clip:
    rng = random.Random(seed)
    return join(said, [0.3, *(rng.uniform(0.2, 0.9) for _ in said)])


def _write_flac(file: Path, clip: Clip) -> None:
    samples = (np.clip(clip.audio, -1, 1) * 32767).astype(np.int16)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
