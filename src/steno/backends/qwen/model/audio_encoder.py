"""What an encoder computes, whoever runs it: `model.encoder` schedules the calls, an `AudioEncoder` answers them.

torch (`model.torch_encoder`) always can. ONNX Runtime and TensorRT run a file that `steno export encoder` wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch


class AudioEncoder(Protocol):
    """Convolutions of chunks of 1 s, and attention over windows of 8 s. Both calls batch what is independent."""

    @property
    def runtime(self) -> str:
        """What computes: `torch`, `onnxruntime` or `tensorrt`."""

    def convolve(self, mel: torch.Tensor) -> torch.Tensor:
        """[chunks, bands, 100] → [chunks, 13, d_model], with positions that restart in each chunk."""

    def attend(self, windows: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """Convolved windows, [tokens, d_model] each → their embeddings, [tokens, hidden] each.

        The results may be views of a batch.
        """


def padded(windows: Sequence[torch.Tensor], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows as one tensor [windows, tokens, d_model], and their lengths [windows], int64, on the CPU.

    Args:
        width: least number of tokens.
    """
    hidden = torch.nn.utils.rnn.pad_sequence(list(windows), batch_first=True)
    if hidden.shape[1] < width:
        hidden = torch.nn.functional.pad(hidden, (0, 0, 0, width - hidden.shape[1]))
    return hidden, torch.tensor([len(window) for window in windows])
