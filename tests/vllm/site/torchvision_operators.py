"""Declares torchvision's operators, so that torchvision can be imported beside the CPU build of PyTorch.

vLLM imports torchvision. The wheel on PyPI is built for CUDA: its compiled half, which declares the operators, does not
load beside a PyTorch for CPUs, and its Python half fails at once where it registers their fake kernels. Qwen3-ASR calls
none of them. `torchvision_operators.pth` imports this module at the start of each process.
"""

from __future__ import annotations

import importlib.abc
import sys
from typing import Any

OPERATORS = (
    "nms", "roi_align", "_roi_align_backward", "roi_pool", "_roi_pool_backward", "ps_roi_align",
    "_ps_roi_align_backward", "ps_roi_pool", "_ps_roi_pool_backward", "deform_conv2d", "_deform_conv2d_backward",
    "qnms", "qroi_align", "qps_roi_align",
)  # fmt: skip

libraries: list[Any] = []
"""PyTorch forgets the declarations of a library that is collected."""


class OperatorDeclarer(importlib.abc.MetaPathFinder):
    """Declares the operators when torchvision is first imported; finds nothing itself."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for operator in OPERATORS:
                library.define(f"{operator}(Tensor x) -> Tensor")
            libraries.append(library)


sys.meta_path.insert(0, OperatorDeclarer())
