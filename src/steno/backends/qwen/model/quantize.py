"""`QUANTIZE=int8`: the weights of the linear layers in 8 bits, a quarter of fp32's memory traffic for each token.

On x86 CPUs `Int8Linear` is used, on other CPUs torch's dynamic quantisation (one scale for all tokens of a call), on
CUDA torchao, weights only; the CUDA path has not run yet. Convolutions and norms are not quantised. An embedding table
whose values fit into bfloat16, as those of every published checkpoint do, is kept in bfloat16: no value changes.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import torch
from loguru import logger

from steno.backends.qwen.model import int8_linear
from steno.backends.qwen.model.int8_linear import Int8Linear
from steno.backends.qwen.model.memory_usage import weight_bytes
from steno.backends.qwen.model.projections import drop_originals, merge_projections
from steno.errors import SettingsError


def check(device: torch.device) -> None:
    """Raises SettingsError where int8 is not supported."""
    if device.type == "cpu":
        if not (set(torch.backends.quantized.supported_engines) - {"none"}):
            raise SettingsError("QUANTIZE=int8: this build of torch has no int8 kernels for the CPU", param="QUANTIZE")
    elif device.type != "cuda":
        raise SettingsError(f"QUANTIZE=int8 is not supported on {device.type}; expected cpu or cuda", param="QUANTIZE")
    elif importlib.util.find_spec("torchao") is None:
        raise SettingsError("QUANTIZE=int8 on cuda needs torchao: pip install torchao", param="QUANTIZE")


def quantize(model: Any, device: torch.device) -> None:
    """Replace the linear layers of a recogniser, in place. transformers' own forward cannot run afterwards.

    Args:
        model: a `Qwen3ASRForConditionalGeneration`.
    """
    check(device)
    before = weight_bytes(model)
    for layer in model.model.language_model.layers:
        merge_projections(layer)
        drop_originals(layer)
    if device.type == "cuda":
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        quantize_(model, Int8WeightOnlyConfig())
    elif int8_linear.is_supported():
        _replace_linear_layers(model.float())
        _shrink_embedding(model.model.language_model.embed_tokens)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces torchao as the successor, which is no faster on a CPU yet
            torch.ao.quantization.quantize_dynamic(model.float(), {torch.nn.Linear}, dtype=torch.qint8, inplace=True)
    logger.info("int8: {:.0f} MB of weights instead of {:.0f} MB", weight_bytes(model) / 1e6, before / 1e6)


def _replace_linear_layers(module: torch.nn.Module) -> None:
    for name, child in module.named_children():
        if type(child) is torch.nn.Linear:
            setattr(module, name, Int8Linear(child.weight, child.bias))
        else:
            _replace_linear_layers(child)


def _shrink_embedding(embedding: torch.nn.Embedding) -> None:
    shrunk = embedding.weight.bfloat16()
    if torch.equal(shrunk.float(), embedding.weight):
        embedding.weight.data = shrunk
