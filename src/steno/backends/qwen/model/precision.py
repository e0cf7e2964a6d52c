"""`QUANTIZE`: loads a recogniser with the weights in the precision that was asked for.

`auto` takes int8 on a CPU, where a token then costs a quarter to a third of fp32's time, if the checkpoint agrees with
itself: a short clip is recognised in fp32, then the int8 weights have to choose the same tokens behind the same text.
If they do not, the checkpoint is read again and stays in fp32, with a warning.
"""

from __future__ import annotations

import wave
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from loguru import logger

from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint, load_recogniser
from steno.backends.qwen.engine_options import LoadOptions
from steno.backends.qwen.model import int8_linear
from steno.backends.qwen.model.decoder import PrefillRequest
from steno.backends.qwen.model.quantize import quantize

if TYPE_CHECKING:
    from steno.backends.base import Progress
    from steno.types import Audio

CLIP = Path(__file__).parent.parent / "data" / "letter.wav"
MIN_AGREEMENT = 0.9
"""Min share of the clip's tokens that int8 weights choose as fp32 weights do."""
MAX_TOKENS = 32
"""Tokens of the clip's text that are compared; speech of its length has about 15."""

Model: TypeAlias = Any
"""An `AsrModel`, which is built upon this module."""


def load_in_precision(
    options: LoadOptions, progress: Progress, build: Callable[[LoadedCheckpoint], Model]
) -> LoadedCheckpoint:
    """Load a recogniser as `options.quantize` says.

    Args:
        build: makes a model of one slot around a checkpoint.

    Raises:
        SettingsError, ModelLoadError.
    """
    loaded = load_recogniser(options, progress)
    if options.quantize in ("int8", "fp8"):
        quantize(loaded.model, loaded.device, options.quantize)
        return replace(loaded, precision=options.quantize)
    if options.quantize == "auto" and _may_be_int8(options, loaded):
        tokens = greedy_tokens(build(loaded))
        quantize(loaded.model, loaded.device)
        found = agreement(build(loaded), tokens)
        if found < MIN_AGREEMENT:
            logger.warning(
                "QUANTIZE=auto: with int8 weights {} chooses only {:.0%} of a clip's tokens as it does in fp32; using "
                "fp32", loaded.source.model_id, found,
            )  # fmt: skip
            return load_recogniser(options, progress)
        logger.info("QUANTIZE=auto: int8 weights choose {:.0%} of a clip's tokens as fp32 does", found)
        return replace(loaded, precision="int8")
    return loaded


def greedy_tokens(model: Model) -> list[int]:
    """The first `MAX_TOKENS` tokens of the clip's text, the end token included."""
    ((first,),) = model.prefill([_request(model)])
    tokens = [first.token]
    while len(tokens) < MAX_TOKENS and tokens[-1] not in model.stop_token_ids:
        tokens.append(model.decode({0: tokens[-1]})[0].token)
    return tokens


def agreement(model: Model, tokens: Sequence[int]) -> float:
    """Share of `tokens` that the model would choose behind the same text before them."""
    (sampled,) = model.prefill([_request(model, tuple(tokens[:-1]))])
    same = sum(one.argmax == token for one, token in zip(sampled, tokens, strict=True))
    return same / len(tokens)


def _request(model: Model, text: tuple[int, ...] = ()) -> PrefillRequest:
    state = model.encoder.new_audio_state()
    model.extend_audio([(state, _clip())])
    model.encode([state])
    before, after = model.prompt_builder.around("", None)
    return PrefillRequest(0, [before, *state.embeddings], after, text, forced=len(text))


def _clip() -> Audio:
    with wave.open(str(CLIP), "rb") as clip:
        pcm = np.frombuffer(clip.readframes(clip.getnframes()), "<i2")
    return np.asarray(pcm / 32768, np.float32)


def _may_be_int8(options: LoadOptions, loaded: LoadedCheckpoint) -> bool:
    """Whoever sets `DTYPE` gets it."""
    is_fp32_cpu = loaded.device.type == "cpu" and loaded.dtype == torch.float32
    return is_fp32_cpu and options.dtype == "auto" and int8_linear.is_supported()
