"""The live load of `benchmarks.gpu_engine`: when streams step, and how many of them a machine carries."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence

import numpy as np

STEP_S, SPEECH_S, PERIOD_S, PIECE_S = 0.48, 3.0, 5.0, 24.0
"""A stream speaks for `SPEECH_S` of every `PERIOD_S`, and has a step every `STEP_S` of its speech."""


def end_of(step: int) -> float:
    """Seconds of the utterance that its n-th step has, from 1."""
    return min(step * STEP_S, SPEECH_S)


def next_step(at: float, step: int) -> tuple[float, int]:
    """When a stream steps after its n-th step at `at`, and that step's number."""
    if step * STEP_S >= SPEECH_S:
        return at - step * STEP_S + STEP_S + PERIOD_S, 1
    return at + STEP_S, step + 1


def most_streams(lags_of: Callable[[int], Sequence[float]], options: argparse.Namespace) -> int:
    """Max streams whose p95 of lags is at most `options.bound_ms`, by doubling and then bisection."""

    def holds(streams: int) -> bool:
        lags = lags_of(streams)
        p95_ms = 1000 * float(np.percentile(lags, 95))
        print(f"{streams:5} streams: p95 {p95_ms:7.1f} ms, median {1000 * statistics.median(lags):7.1f} ms", flush=True)
        return p95_ms <= float(options.bound_ms)

    low, high = 0, 2 if options.quick else 64
    while high <= options.most and holds(high):
        low, high = high, 2 * high
    while high - low > max(1, low // 10):
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
