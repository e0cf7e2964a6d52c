"""Cost of voice activity detection: files in blocks against frames, and many streams per call against one.

    python -m benchmarks.vad [--quick] [--json out/vad.json]

- blocks_us, frames_us: per frame of a file (32 ms of audio), in blocks as for files, and one frame per call.
- together_us, alone_us: per frame of a live stream, in a batch of 32, and alone. Target together: 20.
- blocks_speedup, together_speedup: the ratios in the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks import harness
from steno.vad.silero import FRAME, FRAMES_PER_CALL, BatchedVad, SileroVad, VadState

TARGETS = {"together_us": 20.0}
STREAMS = 32


def main() -> None:
    options = harness.parser(__doc__).parse_args()
    report = harness.Report("vad", options)
    frames = 0.05 * np.random.default_rng(0).standard_normal((FRAMES_PER_CALL, FRAME)).astype(np.float32)
    one, batched = SileroVad(), BatchedVad()
    states = [VadState() for _ in range(STREAMS)]
    for _ in range(3 if options.quick else 15):
        blocks = each_us(len(frames), lambda: one.feed(frames.ravel()))
        single = each_us(len(frames), lambda: [one.feed(frame) for frame in frames])
        together = each_us(STREAMS, lambda: batched.step(frames[:STREAMS], states))
        alone = each_us(STREAMS, lambda: [batched.step(frames[n : n + 1], [states[n]]) for n in range(STREAMS)])
        report.add("blocks_us", blocks)
        report.add("frames_us", single)
        report.add("blocks_speedup", single / blocks)
        report.add("together_us", together)
        report.add("alone_us", alone)
        report.add("together_speedup", alone / together)
    report.finish(TARGETS)


def each_us(frames: int, run: Callable[[], object]) -> float:
    """Microseconds per frame, mean of ten runs."""
    began = time.perf_counter()
    for _ in range(10):
        run()
    return 1e6 * (time.perf_counter() - began) / 10 / frames


if __name__ == "__main__":
    main()
