"""`USE_CUDA_GRAPHS`: a decoding iteration is some 700 small kernels, and on a GPU it takes longer to start them one by
one than to run them. A CUDA graph starts all of them at once.

A graph is for one shape, so shapes are rounded up: rows to a power of two, positions to a multiple of 256. Rows that
are added take no part. Each shape is captured when it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from loguru import logger

from steno.backends.qwen.model.kv_cache import SlotRange

Inputs: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Tokens, lengths, and which rows take part: shape [rows] each."""

Outputs: TypeAlias = tuple[torch.Tensor, torch.Tensor]
Step: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Sequence[SlotRange]], Outputs]
"""Inputs, and which rows of the cache they are → tokens and their log-probabilities, shape [rows] each."""

POSITIONS = 256


@dataclass(frozen=True, slots=True, eq=False)
class CapturedGraph:
    """A graph, and where it reads and writes."""

    graph: Any
    inputs: Inputs
    outputs: Outputs


class GraphedStep:
    """A `Step` that is captured, shape by shape; where that fails it goes on as it was.

    Args:
        step: the same tensors must be read and written at each call: the cache must not grow any more. Its rows are
            those of the cache from the first on, in one stretch.
        rows, positions: the most there can be.
        capture: how a shape is captured; the default needs CUDA.
    """

    def __init__(
        self, step: Step, rows: int, positions: int, capture: Callable[[Step, Inputs, int], CapturedGraph] | None = None
    ) -> None:
        self._step = step
        self._rows, self._positions = rows, positions
        self._capture = capture or CudaCapture()
        self._captured: dict[tuple[int, int], CapturedGraph] = {}
        self.has_failed = False
        """Whether it goes on without graphs."""

    def __call__(
        self, tokens: torch.Tensor, lengths: torch.Tensor, taking_part: torch.Tensor, stretches: Sequence[SlotRange]
    ) -> Outputs:
        if self.has_failed:
            return self._step(tokens, lengths, taking_part, stretches)
        rows = min(1 << (len(tokens) - 1).bit_length(), self._rows)
        seen = max(stretch.seen for stretch in stretches)
        positions = min(-(-seen // POSITIONS) * POSITIONS, self._positions)
        inputs = tuple(torch.cat([one, one.new_zeros(rows - len(one))]) for one in (tokens, lengths, taking_part))
        shape = rows, positions
        if shape not in self._captured:
            try:
                self._captured[shape] = self._capture(self._step, inputs, positions)
            except Exception as error:  # noqa: BLE001 - an acceleration that cannot start says so, once
                logger.warning("USE_CUDA_GRAPHS: a step could not be captured, it goes on without: {}", error)
                self.has_failed = True
                return self._step(tokens, lengths, taking_part, stretches)
        captured = self._captured[shape]
        for place, value in zip(captured.inputs, inputs, strict=True):
            place.copy_(value)
        captured.graph.replay()
        picked, certainty = captured.outputs
        return picked[: len(tokens)], certainty[: len(tokens)]


class CudaCapture:
    """Captures on the current CUDA stream. All graphs share one pool of memory: what one leaves there is read before
    the next is started."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, step: Step, inputs: Inputs, positions: int) -> CapturedGraph:
        tokens, lengths, taking_part = (one.clone() for one in inputs)
        whole = [SlotRange(range(len(tokens)), positions)]
        for _ in range(2):  # libraries allocate at their first call
            step(tokens, lengths, taking_part, whole)
        torch.cuda.synchronize()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        # Another thread may be loading a model meanwhile: that is none of this capture's business.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"
        ):
            outputs = step(tokens, lengths, taking_part, whole)
        return CapturedGraph(graph, (tokens, lengths, taking_part), outputs)


def refusal(device: torch.device) -> str | None:
    """Why there can be no graphs on `device`; None where there can."""
    return None if device.type == "cuda" else f"CUDA graphs need a CUDA device, and this is {device.type}"
