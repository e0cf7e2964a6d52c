"""`USE_CUDA_GRAPHS`: CUDA graphs for decoding steps. A step is about 700 small kernels, and on a GPU launching them one
by one takes longer than running them. A CUDA graph launches all of them at once.

A graph has one shape, so shapes are rounded up: rows to a power of two, positions to a multiple of 256. Rows of
padding are inactive. Each shape is captured when it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from loguru import logger

from steno.backends.qwen.model.kv_cache import SlotRange

Inputs: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Tokens, lengths, and which rows are active: shape [rows] each."""

Outputs: TypeAlias = tuple[torch.Tensor, torch.Tensor]
Step: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Sequence[SlotRange]], Outputs]
"""Inputs, and the cache slots of their rows → tokens and their log-probabilities, shape [rows] each."""

POSITION_STEP = 256
"""Positions are rounded up to a multiple of this."""


@dataclass(frozen=True, slots=True, eq=False)
class CapturedGraph:
    """A CUDA graph, and the tensors that it reads and writes."""

    graph: Any
    inputs: Inputs
    outputs: Outputs


class GraphedStep:
    """A `Step` that is captured shape by shape. If a capture fails, it runs without graphs from then on.

    Args:
        step: must read and write the same tensors at each call: the KV cache must not grow any more. Its rows are the
            cache's slots from 0 on, in one range.
        rows, positions: maximum of each.
        capture: captures a shape; the default needs CUDA.
    """

    def __init__(
        self, step: Step, rows: int, positions: int, capture: Callable[[Step, Inputs, int], CapturedGraph] | None = None
    ) -> None:
        self._step = step
        self._rows, self._positions = rows, positions
        self._capture = capture or CudaCapture()
        self._captured: dict[tuple[int, int], CapturedGraph] = {}
        self.has_failed = False
        """Whether a capture failed, and steps run without graphs."""

    def __call__(
        self, tokens: torch.Tensor, lengths: torch.Tensor, is_active: torch.Tensor, ranges: Sequence[SlotRange]
    ) -> Outputs:
        if self.has_failed:
            return self._step(tokens, lengths, is_active, ranges)
        rows = min(1 << (len(tokens) - 1).bit_length(), self._rows)
        attended = max(slot_range.attended for slot_range in ranges)
        positions = min(-(-attended // POSITION_STEP) * POSITION_STEP, self._positions)
        inputs = tuple(torch.cat([one, one.new_zeros(rows - len(one))]) for one in (tokens, lengths, is_active))
        shape = rows, positions
        if shape not in self._captured:
            try:
                self._captured[shape] = self._capture(self._step, inputs, positions)
            except Exception as error:  # noqa: BLE001 - an acceleration that cannot start is logged once
                logger.warning("USE_CUDA_GRAPHS: a step could not be captured; decoding without CUDA graphs: {}", error)
                self.has_failed = True
                return self._step(tokens, lengths, is_active, ranges)
        captured = self._captured[shape]
        for target, value in zip(captured.inputs, inputs, strict=True):
            target.copy_(value)
        captured.graph.replay()
        chosen_ids, logprobs = captured.outputs
        return chosen_ids[: len(tokens)], logprobs[: len(tokens)]


class CudaCapture:
    """Captures on the current CUDA stream. All graphs share one memory pool: a graph's outputs are read before the next
    graph is launched."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, step: Step, inputs: Inputs, positions: int) -> CapturedGraph:
        tokens, lengths, is_active = (one.clone() for one in inputs)
        all_rows = [SlotRange(range(len(tokens)), positions)]
        for _ in range(2):  # libraries allocate memory at their first call
            step(tokens, lengths, is_active, all_rows)
        torch.cuda.synchronize()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        # Another thread may be loading a model meanwhile, which must not become part of this capture.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"
        ):
            outputs = step(tokens, lengths, is_active, all_rows)
        return CapturedGraph(graph, (tokens, lengths, is_active), outputs)


def graphs_unsupported(device: torch.device) -> str | None:
    """Why CUDA graphs are not supported on `device`; None where they are."""
    return None if device.type == "cuda" else f"CUDA graphs need a CUDA device, and this is {device.type}"
