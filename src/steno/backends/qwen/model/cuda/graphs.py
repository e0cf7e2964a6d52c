"""`USE_CUDA_GRAPHS`: CUDA graphs for decoding steps. A step is hundreds of small kernels, and on a GPU launching them
one by one takes longer than running them. A CUDA graph launches all of them at once.

A graph has one shape, so shapes are rounded up: rows to a power of two, attended positions to a power of two from
`MIN_POSITIONS` on. Rows of padding are inactive. Each class of slots has graphs of its own: a step with rows of two
classes launches two. All shapes are captured while the model loads, the largest first, so that smaller graphs fit into
the memory of larger ones: a capture while requests wait would delay all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from operator import itemgetter
from typing import Any, TypeAlias

import torch
from loguru import logger

from steno.backends.qwen.model.kv_cache import SlotRange
from steno.backends.qwen.model.slot_classes import SlotClass

Step: TypeAlias = Callable[[torch.Tensor, Sequence[SlotRange]], torch.Tensor]
"""A decoding step: inputs, int64 [`INPUTS`, rows], and the rows' cache slots → `sampling.packed` tokens [3, rows]."""

Capture: TypeAlias = "Callable[[Step, SlotRange], CapturedGraph]"

INPUTS = 4
"""Integers of each row: token, length of its slot, whether it is active, its row in the memory of its class."""

MIN_POSITIONS = 256


@dataclass(frozen=True, slots=True, eq=False)
class CapturedGraph:
    """A CUDA graph, and the tensors that it reads and writes."""

    graph: Any
    inputs: torch.Tensor
    outputs: torch.Tensor


class GraphedStep:
    """A `Step` whose shapes have been captured. If a capture fails, it runs without graphs.

    Args:
        step: must read and write the same tensors at each call: the KV cache must not grow any more. Its rows are the
            cache's slots, for each class in one range from the class's first slot on.
        classes: of the slots.
        capture: captures a shape; the default needs CUDA.
    """

    def __init__(self, step: Step, classes: Sequence[SlotClass], capture: Capture | None = None) -> None:
        self._step = step
        firsts = list(accumulate((one.slots for one in classes), initial=0))[:-1]
        self._rows = {first: _sizes(1, one.slots) for first, one in zip(firsts, classes, strict=True)}
        self._positions = {first: _sizes(MIN_POSITIONS, one.length) for first, one in zip(firsts, classes, strict=True)}
        self._captured: dict[tuple[int, int, int], CapturedGraph] = {}
        self.has_failed = False
        """Whether a capture failed, and steps run without graphs."""
        self._capture_all(capture or CudaCapture())

    def __call__(self, inputs: torch.Tensor, ranges: Sequence[SlotRange]) -> torch.Tensor:
        if self.has_failed:
            return self._step(inputs, ranges)
        if len(ranges) == 1:
            return self._replayed(inputs, ranges[0])
        parts = inputs.split([len(slot_range.slots) for slot_range in ranges], dim=1)
        # Graphs share memory: a graph's outputs are copied before the next one is launched.
        outputs = [self._replayed(part, one).clone() for part, one in zip(parts, ranges, strict=True)]
        return torch.cat(outputs, dim=1)

    def _replayed(self, inputs: torch.Tensor, slot_range: SlotRange) -> torch.Tensor:
        used, first = inputs.shape[1], slot_range.slots[0]
        rows = next(size for size in self._rows[first] if size >= used)
        positions = next(size for size in self._positions[first] if size >= slot_range.attended)
        captured = self._captured[first, rows, positions]
        captured.inputs.zero_()
        captured.inputs[:, :used].copy_(inputs)
        captured.graph.replay()
        return captured.outputs[:, :used]

    def _capture_all(self, capture: Capture) -> None:
        shapes = [
            shape for first in self._rows for shape in product((first,), self._rows[first], self._positions[first])
        ]
        for first, rows, positions in sorted(shapes, key=itemgetter(1, 2), reverse=True):
            try:
                captured = capture(self._step, SlotRange(range(first, first + rows), positions))
            except Exception as error:  # noqa: BLE001 - an acceleration that cannot start is logged once
                logger.warning("USE_CUDA_GRAPHS: a step could not be captured; decoding without CUDA graphs: {}", error)
                self.has_failed = True
                self._captured.clear()
                return
            self._captured[first, rows, positions] = captured
        logger.info("USE_CUDA_GRAPHS: {} decoding steps are captured", len(self._captured))


class CudaCapture:
    """Captures on the current CUDA stream. All graphs share one memory pool: a graph's outputs are read before the next
    graph is launched."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, step: Step, slot_range: SlotRange) -> CapturedGraph:
        inputs = torch.zeros(INPUTS, len(slot_range.slots), dtype=torch.long, device="cuda")
        for _ in range(2):  # libraries allocate memory at their first call
            step(inputs, [slot_range])
        torch.cuda.synchronize()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        # Another thread may be loading a model meanwhile, which must not become part of this capture.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"
        ):
            outputs = step(inputs, [slot_range])
        return CapturedGraph(graph, inputs, outputs)


def graphs_unsupported(device: torch.device) -> str | None:
    """Why CUDA graphs are not supported on `device`; None where they are."""
    return None if device.type == "cuda" else f"CUDA graphs need a CUDA device, and this is {device.type}"


def _sizes(least: int, most: int) -> list[int]:
    """Powers of two times `least`, up to `most`, which is the last."""
    sizes = [min(least, most)]
    while sizes[-1] < most:
        sizes.append(min(2 * sizes[-1], most))
    return sizes
