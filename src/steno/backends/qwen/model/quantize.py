"""Quantises the weights of a loaded recogniser, in place.

int8: on x86 CPUs `Int8Linear` and `Int8Conv2d`, on other CPUs torch's dynamic quantisation of linear layers (one scale
for all tokens of a call), on CUDA torchao, weights only. Norms are not quantised. An embedding table whose values fit
into bfloat16, as those of every published checkpoint do, is kept in bfloat16 on a CPU: no value changes.

fp8: `Fp8Linear` in the layers of the language model; encoder and vocabulary head keep their dtype, as in vLLM.

The CUDA paths have not run yet.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import torch
from loguru import logger

from steno.backends.qwen.model import int8_conv, int8_linear
from steno.backends.qwen.model.cuda import fp8_linear
from steno.backends.qwen.model.cuda.fp8_linear import Fp8Linear
from steno.backends.qwen.model.int8_conv import replacement_of
from steno.backends.qwen.model.int8_linear import Int8Linear
from steno.backends.qwen.model.memory_usage import weight_bytes
from steno.backends.qwen.model.projections import drop_originals, merge_attention_projections, merge_projections
from steno.errors import SettingsError


def check(device: torch.device, precision: str = "int8") -> None:
    """Raises SettingsError where `precision`, `int8` or `fp8`, is not supported."""
    if precision == "fp8":
        if reason := fp8_linear.fp8_unsupported(device):
            raise SettingsError(f"QUANTIZE=fp8 is not supported here: {reason}", param="QUANTIZE")
    elif device.type == "cpu":
        if not (set(torch.backends.quantized.supported_engines) - {"none"}):
            raise SettingsError("QUANTIZE=int8: this build of torch has no int8 kernels for the CPU", param="QUANTIZE")
    elif device.type != "cuda":
        raise SettingsError(f"QUANTIZE=int8 is not supported on {device.type}; expected cpu or cuda", param="QUANTIZE")
    elif importlib.util.find_spec("torchao") is None:
        raise SettingsError("QUANTIZE=int8 on cuda needs torchao: pip install torchao", param="QUANTIZE")


def quantize(model: Any, device: torch.device, precision: str = "int8") -> None:
    """Replace the linear layers of a recogniser, in place. transformers' own forward cannot run afterwards.

    Args:
        model: a `Qwen3ASRForConditionalGeneration`.
        precision: `int8` or `fp8`.
    """
    check(device, precision)
    before = weight_bytes(model)
    for layer in model.model.language_model.layers:
        merge_projections(layer)
        drop_originals(layer)
    for layer in model.model.audio_tower.layers:
        merge_attention_projections(layer)
        drop_originals(layer)
    if precision == "fp8":
        replace_linear_layers(model.model.language_model.layers, to_fp8)
    elif device.type == "cuda":
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        quantize_(model, Int8WeightOnlyConfig())
    elif int8_linear.is_supported():
        replace_linear_layers(model.float(), lambda linear: Int8Linear(linear.weight, linear.bias))
        if int8_conv.is_supported():
            replace_convolutions(model.model.audio_tower)
        _shrink_embedding(model.model.language_model.embed_tokens)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces torchao as the successor, which is no faster on a CPU yet
            torch.ao.quantization.quantize_dynamic(model.float(), {torch.nn.Linear}, dtype=torch.qint8, inplace=True)
    logger.info("{}: {:.0f} MB of weights instead of {:.0f} MB", precision, weight_bytes(model) / 1e6, before / 1e6)


def replace_convolutions(module: torch.nn.Module) -> None:
    """Replace the convolutions of an audio tower, in place."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.Conv2d) and (replacement := replacement_of(child)):
            setattr(module, name, replacement)


def replace_linear_layers(module: torch.nn.Module, replacement: Callable[[torch.nn.Linear], torch.nn.Module]) -> None:
    """Replace each `torch.nn.Linear` within `module`, in place, one by one: both versions of a layer exist at once, but
    never of two."""
    for name, child in module.named_children():
        if type(child) is torch.nn.Linear:
            setattr(module, name, replacement(child))
        else:
            replace_linear_layers(child, replacement)


def to_fp8(linear: torch.nn.Linear) -> torch.nn.Module:
    """A layer whose sizes the kernel does not take stays as it is."""
    return Fp8Linear(linear.weight, linear.bias) if fp8_linear.is_divisible(linear) else linear


def _shrink_embedding(embedding: torch.nn.Embedding) -> None:
    shrunk = embedding.weight.bfloat16()
    if torch.equal(shrunk.float(), embedding.weight):
        embedding.weight.data = shrunk
