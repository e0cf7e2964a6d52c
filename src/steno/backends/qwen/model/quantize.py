"""`QUANTIZE=int8`: the weights of the linear layers in 8 bits, a quarter of fp32's memory traffic for each token.

On a CPU torch's dynamic quantisation is used (activations are quantised on the fly, products are int8); on CUDA
torchao, weights only; the CUDA path has not run yet. Convolutions, norms and embeddings are not quantised.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import torch
from loguru import logger

from steno.backends.qwen.model.memory_usage import weight_bytes
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
    """Replace the linear layers of `model`, in place."""
    check(device)
    before = weight_bytes(model)
    if device.type == "cpu":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces torchao as the successor, which is no faster on a CPU yet
            torch.ao.quantization.quantize_dynamic(model.float(), {torch.nn.Linear}, dtype=torch.qint8, inplace=True)
    else:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        quantize_(model, Int8WeightOnlyConfig())
    logger.info("int8: linear layers are quantised; {:.0f} MB of other weights remain", weight_bytes(model) / 1e6)
    logger.debug("weights before quantisation: {:.0f} MB", before / 1e6)
