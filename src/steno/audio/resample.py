"""Streaming resampling from any rate to `SAMPLE_RATE`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

MIN_RATE = 4_000
MAX_RATE = 384_000
"""Hz. Rates outside these are implausible."""


class Resampler:
    """Turns mono float32 audio at `rate` into `SAMPLE_RATE`, with soxr's HQ filter.

    The output is bit-identical for any split of the input. n samples become n · 16000 / rate, rounded. The filter looks
    ahead, so the output of `feed` lags behind its input, and `flush` returns the rest. Audio at `SAMPLE_RATE` passes
    through unchanged. Not thread-safe.
    """

    def __init__(self, rate: int) -> None:
        if not MIN_RATE <= rate <= MAX_RATE:
            raise ValueError(f"sample rate must be {MIN_RATE} to {MAX_RATE} Hz, got {rate}")
        self.rate = rate
        self._stream: Any = None
        if rate != SAMPLE_RATE:
            import soxr

            self._stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def feed(self, audio: Audio) -> Audio:
        """Take `audio`, shape [n]; return the output that is ready, possibly empty."""
        if self._stream is None or not len(audio):
            return audio
        return self._process(audio, last=False)

    def flush(self) -> Audio:
        """End the stream and return its rest. The next `feed` starts a new one."""
        rest = np.zeros(0, np.float32)
        if self._stream is None:
            return rest
        rest = self._process(rest, last=True)
        self._stream.clear()
        return rest

    def _process(self, audio: Audio, *, last: bool) -> Audio:
        resampled: Audio = self._stream.resample_chunk(np.ascontiguousarray(audio, np.float32), last=last)
        return resampled
