"""A WAV header for samples that come without one, so that they are read as any recording is."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

FORMATS = {"pcm_s16le": (1, 2), "pcm_f32le": (3, 4), "mulaw": (7, 1), "alaw": (6, 1)}
"""WAVE format tag (RFC 2361) and bytes of a sample."""
MAX_BYTES = 2**32 - 1
HEADER_BYTES = 44


@dataclass(frozen=True, slots=True)
class RawFormat:
    encoding: Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]
    sample_rate: int
    channels: int = 1


def wav_header(raw: RawFormat, data_bytes: int = MAX_BYTES - HEADER_BYTES) -> bytes:
    """`data_bytes`: of the samples that follow."""
    tag, size = FORMATS[raw.encoding]
    frame = size * raw.channels
    data_bytes = min(data_bytes, MAX_BYTES - HEADER_BYTES)
    described = struct.pack("<HHIIHH", tag, raw.channels, raw.sample_rate, raw.sample_rate * frame, frame, 8 * size)
    riff = struct.pack("<4sI4s4sI", b"RIFF", data_bytes + HEADER_BYTES - 8, b"WAVE", b"fmt ", len(described))
    return riff + described + struct.pack("<4sI", b"data", data_bytes)
