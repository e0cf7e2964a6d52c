"""flash-attn in the encoder, where it is installed: windows of any length in one call, without padding."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from loguru import logger

from steno.backends.qwen.model.cuda.transfers import integers_to_device

Varlen: TypeAlias = Any
"""flash-attn's `flash_attn_varlen_func`."""


def varlen(device: torch.device, dtype: torch.dtype) -> Varlen | None:
    """The variable-length kernel; None where it cannot run: it needs CUDA, 16-bit floats and the package."""
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return None
    if importlib.util.find_spec("flash_attn") is None:
        return None
    try:
        return importlib.import_module("flash_attn").flash_attn_varlen_func
    except (ImportError, OSError, AttributeError) as error:
        logger.warning("flash-attn is installed but cannot be imported; falling back to torch's attention: {}", error)
        return None


class VarlenAttention:
    """Attention within windows that are packed one behind the other.

    Args:
        lengths: tokens of each window.
    """

    def __init__(self, attend: Varlen, lengths: Sequence[int], device: torch.device) -> None:
        self._attend = attend
        self._longest = max(lengths)
        (ends,) = integers_to_device(device, [0, *lengths])
        self._ends = ends.cumsum(0).to(torch.int32)

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
        """Each [tokens of all windows, heads, head_dim]; returns the same."""
        ends, longest = self._ends, self._longest
        out: torch.Tensor = self._attend(query, key, value, ends, ends, longest, longest, softmax_scale=scale)
        return out
