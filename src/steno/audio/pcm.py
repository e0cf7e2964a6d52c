"""PCM conversion: raw encodings of live clients to and from float32."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from steno.types import BYTES_PER_SAMPLE

if TYPE_CHECKING:
    from steno.types import Audio

Encoding: TypeAlias = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)


class PcmDecoder:
    """Decodes mono frames of any size; a sample may be split between frames. Not thread-safe."""

    def __init__(self, encoding: Encoding) -> None:
        if encoding not in ENCODINGS:
            raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}, got {encoding!r}")
        self.encoding = encoding
        self._width = BYTES_PER_SAMPLE[encoding]
        self._incomplete = b""

    @property
    def pending(self) -> int:
        """Bytes of an incomplete sample. If not 0 at the end of a stream, the client truncated it."""
        return len(self._incomplete)

    def feed(self, data: bytes) -> Audio:
        """The samples that are complete now, shape [n], in [-1, 1]."""
        data = self._incomplete + data
        whole = len(data) - len(data) % self._width
        self._incomplete = data[whole:]
        return decode_pcm(data[:whole], self.encoding)

    def reset(self) -> None:
        self._incomplete = b""


def decode_pcm(data: bytes, encoding: Encoding) -> Audio:
    """Whole samples to float32, shape [n], in [-1, 1].

    Float samples beyond that are clipped, and non-finite ones become 0: one NaN would persist in every filter and
    model state after it.
    """
    match encoding:
        case "pcm_s16le":
            samples = np.frombuffer(data, "<i2").astype(np.float32)
            samples *= np.float32(1 / 32768)
            return samples
        case "pcm_f32le":
            samples = np.frombuffer(data, "<f4").astype(np.float32)
            samples[~np.isfinite(samples)] = 0
            return np.clip(samples, -1, 1, out=samples)
        case "mulaw":
            return _mulaw_table()[np.frombuffer(data, np.uint8)]
        case "alaw":
            return _alaw_table()[np.frombuffer(data, np.uint8)]


def to_s16le(audio: Audio) -> bytes:
    """Convert to 16-bit samples; the inverse of `pcm_s16le` decoding. Values beyond [-1, 1] are clipped."""
    samples: NDArray[np.int16] = np.clip(np.rint(audio * np.float32(32768)), -32768, 32767).astype("<i2")
    return samples.tobytes()


@cache
def _mulaw_table() -> Audio:
    """The values of the 256 µ-law codes: ITU-T G.711 (11/1988), tables 2a and 2b, at 16 bits (14 in the standard).

    Inverted: sign, 3 bits of segment s, 4 bits of step q; |value| = (2q + 33) · 2^s − 33, times 4.
    """
    code = ~np.arange(256, dtype=np.uint8)
    segment, step = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    magnitude = (((2 * step + 33) << segment) - 33) * 4
    return _read_only(np.where(code & 0x80, -magnitude, magnitude))


@cache
def _alaw_table() -> Audio:
    """The values of the 256 A-law codes: ITU-T G.711 (11/1988), tables 1a and 1b, at 16 bits (13 in the standard).

    Even bits inverted: sign (1 is positive), 3 bits of segment s, 4 bits of step q; |value| = 2q + 1 in segment 0
    and (2q + 33) · 2^(s − 1) above, times 8.
    """
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    segment, step = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    magnitude = np.where(segment == 0, 2 * step + 1, (2 * step + 33) << np.maximum(segment - 1, 0)) * 8
    return _read_only(np.where(code & 0x80, magnitude, -magnitude))


def _read_only(values: NDArray[np.int32]) -> Audio:
    table = values.astype(np.float32) / np.float32(32768)
    table.setflags(write=False)
    return table
