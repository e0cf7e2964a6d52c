"""`USE_CUDA_GRAPHS`: a decoding iteration is some 700 small kernels, and on a GPU it takes longer to start them one by
one than to run them. A CUDA graph starts all of them at once.

A graph is for one shape, so shapes are rounded up: rows to a power of two, positions to a multiple of 256. Rows that
are added take no part. Each shape is captured when it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from loguru import logger

Inputs: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Tokens, lengths, and which rows take part: shape [rows] each."""

Outputs: TypeAlias = tuple[torch.Tensor, torch.Tensor]
Step: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], Outputs]
"""Inputs and the positions that are looked at → tokens and their log-probabilities, shape [rows] each."""

POSITIONS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """A graph, and where it reads and writes."""

    graph: Any
    inputs: Inputs
    outputs: Outputs


class Graphs:
    """A `Step` that is captured, shape by shape; where that fails it goes on as it was.

    Args:
        step: the same tensors must be read and written at each call: the cache must not grow any more.
        rows, positions: the most there can be.
        capture: how a shape is captured; the default needs CUDA.
    """

    def __init__(
        self, step: Step, rows: int, positions: int, capture: Callable[[Step, Inputs, int], Captured] | None = None
    ) -> None:
        self._step = step
        self._rows, self._positions = rows, positions
        self._capture = capture or on_cuda
        self._captured: dict[tuple[int, int], Captured] = {}
        self._has_failed = False

    def __call__(self, tokens: torch.Tensor, lengths: torch.Tensor, taking_part: torch.Tensor, seen: int) -> Outputs:
        if self._has_failed:
            return self._step(tokens, lengths, taking_part, seen)
        rows = min(1 << (len(tokens) - 1).bit_length(), self._rows)
        positions = min(-(-seen // POSITIONS) * POSITIONS, self._positions)
        inputs = tuple(torch.cat([one, one.new_zeros(rows - len(one))]) for one in (tokens, lengths, taking_part))
        shape = rows, positions
        if shape not in self._captured:
            try:
                self._captured[shape] = self._capture(self._step, inputs, positions)
            except Exception as error:  # noqa: BLE001 - an acceleration that cannot start says so, once
                logger.warning("USE_CUDA_GRAPHS: a step could not be captured, it goes on without: {}", error)
                self._has_failed = True
                return self._step(tokens, lengths, taking_part, seen)
        captured = self._captured[shape]
        for place, value in zip(captured.inputs, inputs, strict=True):
            place.copy_(value)
        captured.graph.replay()
        picked, certainty = captured.outputs
        return picked[: len(tokens)], certainty[: len(tokens)]


def on_cuda(step: Step, inputs: Inputs, positions: int) -> Captured:
    """Capture a step on the current CUDA stream, after running it as it is: libraries allocate at their first call."""
    own: Inputs = tuple(one.clone() for one in inputs)
    for _ in range(2):
        step(*own, positions)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        outputs = step(*own, positions)
    return Captured(graph, own, outputs)


def refusal(device: torch.device) -> str | None:
    """Why there can be no graphs on `device`; None where there can."""
    return None if device.type == "cuda" else f"CUDA graphs need a CUDA device, and this is {device.type}"
