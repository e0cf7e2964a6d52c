"""Copies between host and GPU through pinned memory: a step's integers in one copy to the GPU, its results in one copy
back. A copy of pageable memory would make the step's thread wait for everything that the GPU still has to do. On other
devices nothing is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from steno.types import Audio


def copy_to_device(audio: Audio, device: torch.device) -> torch.Tensor:
    """`audio`, of any shape, on `device`, float32."""
    return _moved(torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32)), device)


def integers_to_device(device: torch.device, *lists: Sequence[int]) -> tuple[torch.Tensor, ...]:
    """Each list as an int64 tensor on `device`; all of them are copied at once."""
    packed = _moved(torch.tensor(list(chain.from_iterable(lists)), dtype=torch.long), device)
    return packed.split([len(one) for one in lists])


def copy_to_host(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` in host memory, once it has been computed: the only wait of a step."""
    if tensor.device.type != "cuda":
        return tensor
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()
    copied.synchronize()
    return host


def _moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    # torch keeps the pinned memory until the copy is done.
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
