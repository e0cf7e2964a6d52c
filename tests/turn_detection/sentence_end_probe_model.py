"""Fits the probe of `steno.backends.moonshine.sentence_end_probe` to recordings of English speech.

    PYTHONPATH=tests python -m turn_detection.sentence_end_probe_model FOLDER  # ten minutes

FOLDER is `tortoise/voices` of tortoise-tts 3.0.0's source distribution (its address is in
https://pypi.org/pypi/tortoise-tts/3.0.0/json), a folder for each voice; `endgame_nagg_nell.wav` in Moonshine's wheel is
added, and the recordings of `benchmarks.turn_judgements` are not in it.

Pauses are those of that benchmark: behind sentences, put between words of a clause, and of the speakers themselves.
Each is also heard faster or slower, in noise, behind an earlier sentence, and without its beginning. Ends count as
much as other pauses, and cuts as much as natural ones. How the parts weigh is fitted to what the probe says of voices
that it has not seen. The weights of `turn_probability` are printed.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from benchmarks.turn_judgements import Kind, final_of, pauses_of, recordings_of, speeches_of
from benchmarks.turns import AUDIO
from steno.backends.base import Recognize
from steno.backends.moonshine import files, installed
from steno.backends.moonshine.backend import PADDING, MoonshineBackend
from steno.backends.moonshine.closing_punctuation import closing_punctuation
from steno.backends.moonshine.model import MoonshineModel
from steno.backends.moonshine.sentence_end_probe import FRAMES, PROBE, SentenceEndProbe
from steno.turn_detection.sentence_end import SentenceEnds
from steno.types import SAMPLE_RATE
from steno.vad.silero import BatchedVad

if TYPE_CHECKING:
    from steno.types import Audio

CUTS, FOLDS = 14, 8
SHARE: dict[Kind, float] = {"end": 1.0, "cut": 0.5, "natural": 0.5}
STATES_PENALTY, PARTS_PENALTY = 0.04, 1e-4
"""Of the squared weights of standardised inputs, per example, in the regressions on states and on parts."""
CONTEXT = 8 * SAMPLE_RATE
"""Max samples of a pause and the sentence before it."""


@dataclass(frozen=True, slots=True)
class Example:
    voice: str
    kind: Kind
    states: NDArray[np.float32]
    """What the probe reads of the pause, and of its variants. Shape [variants, width]."""
    punctuation: float
    words: tuple[float, float]


def variants_of(audio: Audio, earlier: Sequence[Audio], chance: np.random.Generator) -> Iterator[Audio]:
    """`audio`, faster or slower by up to a tenth, in pink noise, behind one of `earlier`, without its beginning."""
    yield audio
    speed = chance.uniform(0.9, 1.1)
    yield np.interp(np.arange(0, len(audio), speed), np.arange(len(audio)), audio).astype(np.float32)
    spectrum = np.fft.rfft(chance.standard_normal(len(audio)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1), len(audio))
    yield (audio + noise * audio.std() / noise.std() * 10 ** (-chance.uniform(10, 30) / 20)).astype(np.float32)
    if fitting := [one for one in earlier if len(one) + len(audio) < CONTEXT]:
        yield np.concatenate([fitting[chance.integers(len(fitting))], audio])
    if len(audio) > 3 * SAMPLE_RATE:
        yield audio[-chance.integers(SAMPLE_RATE, len(audio) - SAMPLE_RATE // 2) :]


async def examples_of(folder: Path) -> list[Example]:
    wheel = installed.wheel_folder()
    assert wheel is not None
    paths = [path for path in sorted(folder.glob("*/*")) if path.suffix in AUDIO]
    voices = [*(path.parent.name for path in paths), "endgame"]
    vad, words, model, recogniser = BatchedVad(), SentenceEnds(), MoonshineModel(files.find(None)), MoonshineBackend()
    await recogniser.load(lambda *_: None)
    chance, cuts = np.random.default_rng(4), random.Random(22)
    examples: list[Example] = []
    for voice, recording in zip(voices, recordings_of([*paths, wheel.parent / "endgame_nagg_nell.wav"]), strict=True):
        speeches = speeches_of(recording, CUTS, cuts)
        pauses = [(kind, final_of(pause)) for speech in speeches for kind, pause in pauses_of(speech, vad)]
        for kind, audio in pauses:
            heard = await recogniser.recognize(Recognize(audio, utterance="pause"))
            if (log_odds := words.log_odds(heard.text)) is None:
                continue
            earlier = [other for its_kind, other in pauses if its_kind == "end" and other is not audio]
            states = [ending_of(model, variant) for variant in variants_of(audio, earlier, chance)]
            punctuation = closing_punctuation(heard.text, heard.scores) or 0.0
            examples.append(Example(voice, kind, np.stack(states), punctuation, log_odds))
        logger.info("{}: {} pauses so far", voice, len(examples))
    await recogniser.unload()
    return examples


def ending_of(model: MoonshineModel, audio: Audio) -> NDArray[np.float32]:
    states = model.start(np.pad(audio, (0, PADDING)), model.cancellation()).audio_states
    mean: NDArray[np.float32] = states[-FRAMES:].mean(axis=0)
    return mean


def fitted(
    inputs: NDArray[np.float64], is_end: NDArray[np.bool_], shares: NDArray[np.float64], penalty: float
) -> tuple[NDArray[np.float64], float]:
    """Weights and bias of a logistic regression; `shares` of the examples add up to 1."""
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    standard, sign = (inputs - mean) / deviation, np.where(is_end, 1.0, -1.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margins = sign * (standard @ weights[1:] + weights[0])
        slopes = -shares * sign * expit(-margins)
        total = shares @ np.logaddexp(0, -margins) + penalty * (weights[1:] @ weights[1:]) / 2
        return total, np.concatenate([[slopes.sum()], standard.T @ slopes + penalty * weights[1:]])

    found = minimize(loss, np.zeros(inputs.shape[1] + 1), jac=True, method="L-BFGS-B").x
    weights = found[1:] / deviation
    return weights, float(found[0] - weights @ mean)


def shares_of(kinds: Sequence[Kind]) -> NDArray[np.float64]:
    raw = np.array([SHARE[kind] / kinds.count(kind) for kind in kinds])
    shares: NDArray[np.float64] = raw / raw.sum()
    return shares


def probe_of(examples: Sequence[Example]) -> tuple[NDArray[np.float64], float]:
    """Fitted to all variants."""
    kinds = [example.kind for example in examples for _ in example.states]
    states = np.concatenate([example.states for example in examples]).astype(np.float64)
    return fitted(states, np.array([kind == "end" for kind in kinds]), shares_of(kinds), STATES_PENALTY)


def on_unseen_voices(examples: Sequence[Example]) -> NDArray[np.float64]:
    """What a probe that was fitted to other voices says of each example."""
    voices = sorted({example.voice for example in examples})
    said = np.zeros(len(examples))
    for fold in range(FOLDS):
        unseen = set(voices[fold::FOLDS])
        weights, bias = probe_of([example for example in examples if example.voice not in unseen])
        for n, example in enumerate(examples):
            if example.voice in unseen:
                said[n] = example.states[0] @ weights + bias
    return said


def auc(said: NDArray[np.float64], kinds: Sequence[Kind], other: Kind) -> float:
    """How often an end is found likelier than a pause of another kind."""
    ends, others = (said[[kind == one for kind in kinds]] for one in ("end", other))
    return float(np.mean(ends[:, None] > others))


def main() -> None:
    examples = asyncio.run(examples_of(Path(sys.argv[1])))
    kinds = [example.kind for example in examples]
    is_end, shares = np.array([kind == "end" for kind in kinds]), shares_of(kinds)
    said = on_unseen_voices(examples)
    punctuation, words = np.array([e.punctuation for e in examples]), np.array([e.words for e in examples])
    parts, offset = fitted(np.stack([said, punctuation], axis=1), is_end, shares, PARTS_PENALTY)
    own = np.stack([said, punctuation], axis=1) @ parts + offset
    with_words, bias = fitted(np.column_stack([own, words]), is_end, shares, PARTS_PENALTY)
    all_parts = np.column_stack([own, words]) @ with_words + bias
    for name, values in (("states", said), ("and punctuation", own), ("and words", all_parts)):
        logger.info(
            "{}: AUC {:.3f} of cuts, {:.3f} of natural pauses",
            name,
            auc(values, kinds, "cut"),
            auc(values, kinds, "natural"),
        )
    logger.info("turn_probability.RECOGNISER_AND_WORDS: {} {}", with_words.round(2), round(bias, 2))
    weights, states_bias = probe_of(examples)
    arrays = SentenceEndProbe(weights.astype(np.float32), states_bias, *parts, offset)
    np.savez(PROBE, **arrays._asdict())


if __name__ == "__main__":
    main()
