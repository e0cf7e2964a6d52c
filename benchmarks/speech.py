"""Audio of live benchmarks: a sample repeated with pauses; three fifths of it are speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from steno.audio.decode import decode
from steno.audio.pcm import to_s16le

SAMPLE = Path(__file__).parent.parent / "src" / "steno" / "sample.flac"
BYTES_PER_S = 32_000
"""Of 16 kHz PCM16."""
PAUSES = 0.6
"""Pause after each time that the sample is said, as a part of the sample's length."""


def pattern(seconds: float, say: Path = SAMPLE) -> bytes:
    """At least `seconds` of 16 kHz PCM16, whole repetitions."""
    sample = np.concatenate(list(decode(say, max_seconds=None)))
    once = np.concatenate([sample, np.zeros(round(PAUSES * len(sample)), np.float32)])
    return to_s16le(np.tile(once, -(-round(seconds * 16_000) // len(once))))
