"""Cost of decoding in a child process, against decoding in this process.

    python -m benchmarks.decoding [--quick] [--json out/decoding.json]

- here_ms, warm_ms, cold_ms: two seconds of WAV, opened and decoded in this process, in a running decoder, and in a
  decoder that must be started.
- added_ms: warm_ms less here_ms, of adjacent pairs. Target: 20.
- minute_over_here: a minute of Opus in a decoder, divided by the same in this process.
- decoder_mb: unique set size of a decoder beside others, in MB (10^6 bytes).
"""

from __future__ import annotations

import io
import time
import wave
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks import harness
from steno.audio.decode import decode
from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

OPUS = Path(__file__).parent.parent / "tests" / "fixtures" / "address.opus"
TARGETS = {"added_ms": 20.0}


def main() -> None:
    options = harness.parser(__doc__).parse_args()
    report = harness.Report("decoding", options)
    small = _wav(2.0)
    for _ in range(2 if options.quick else 7):
        with closing(DecoderPool()) as pool:
            report.add("cold_ms", _ms(pool.decode(io.BytesIO(small), max_seconds=None)))
    with closing(DecoderPool()) as pool:
        report.add("decoder_mb", _unique_mb(pool, small))
        for _ in range(20 if options.quick else 200):
            here = _ms(decode(io.BytesIO(small), max_seconds=None))
            warm = _ms(pool.decode(io.BytesIO(small), max_seconds=None))
            report.add("here_ms", here)
            report.add("warm_ms", warm)
            report.add("added_ms", warm - here)
        for _ in range(2 if options.quick else 9):
            here = _ms(decode(OPUS, max_seconds=None))
            report.add("minute_over_here", _ms(pool.decode(OPUS, max_seconds=None)) / here)
    report.finish(TARGETS)


def _unique_mb(pool: DecoderPool, file: bytes) -> float:
    """Of one of two decoders, each in the middle of `file`: they share their libraries."""
    both = [pool.decode(io.BytesIO(file), max_seconds=None) for _ in range(2)]
    for chunks in both:
        next(chunks)
    unique = psutil.Process(pool.pids[0]).memory_full_info().uss
    for chunks in both:
        list(chunks)
    return unique / 1e6


def _ms(chunks: Iterator[Audio]) -> float:
    """How long it takes to take all of them."""
    began = time.perf_counter()
    for _ in chunks:
        pass
    return 1000 * (time.perf_counter() - began)


def _wav(seconds: float) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(bytes(2 * round(seconds * SAMPLE_RATE)))
    return buffer.getvalue()


if __name__ == "__main__":
    main()
