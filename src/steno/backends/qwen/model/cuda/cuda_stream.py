"""The model's own CUDA stream."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


class CudaStream:
    """`with stream():` runs the block on a CUDA stream that nothing else uses; on other devices it does nothing.

    Create it once the weights are on the device: it synchronises with that copy.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = None
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            self._stream = torch.cuda.Stream(device)

    @property
    def handle(self) -> int | None:
        """The stream as a number, as other libraries take it; None on other devices."""
        return None if self._stream is None else int(self._stream.cuda_stream)

    def __call__(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._stream) if self._stream is not None else nullcontext()
