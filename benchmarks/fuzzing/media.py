"""Small recordings in many formats, and ways to damage them."""

from __future__ import annotations

import io
import random
import struct
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

RATE = 48_000
SECONDS = 1.0
SAMPLES_PER_FRAME = 1024

NUMBERS = (0, 1, 37, 255, 256, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
"""Values that make sizes and counts absurd."""

MAX_DAMAGES = 6


@dataclass(frozen=True, slots=True)
class Format:
    """A container, a codec, the sample format that its encoder takes, and a channel layout."""

    name: str
    container: str
    codec: str
    sample_format: str
    layout: str = "stereo"


FORMATS = (
    Format("wav", "wav", "pcm_s16le", "s16"),
    Format("flac", "flac", "flac", "s16"),
    Format("mp3", "mp3", "libmp3lame", "fltp"),
    Format("m4a", "ipod", "aac", "fltp"),
    Format("ogg", "ogg", "libopus", "flt"),
    Format("webm", "webm", "libopus", "flt"),
    Format("mkv", "matroska", "aac", "fltp", "7.1"),
    Format("ts", "mpegts", "aac", "fltp"),
    Format("wv", "wv", "wavpack", "s16p", "7.1"),
    Format("aac", "adts", "aac", "fltp"),
)


def seeds() -> dict[str, bytes]:
    """A valid file of each format."""
    return {format.name: encoded(format) for format in FORMATS}


def encoded(format: Format) -> bytes:
    """A second of a rising tone."""
    times = np.arange(round(SECONDS * RATE)) / RATE
    tone = (0.5 * np.sin(2 * np.pi * (200 + 300 * times) * times)).astype(np.float32)
    channels = av.AudioLayout(format.layout).nb_channels
    to_encoder = av.AudioResampler(format=format.sample_format)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format.container, options={"fflags": "+bitexact"}) as out:  # no random ids
        stream = out.add_stream(format.codec, rate=RATE, layout=format.layout)
        assert isinstance(stream, av.AudioStream)
        stream.format, stream.time_base = format.sample_format, Fraction(1, RATE)
        for start in range(0, len(tone), SAMPLES_PER_FRAME):
            part = np.repeat(tone[start : start + SAMPLES_PER_FRAME], channels)[None]
            frame = av.AudioFrame.from_ndarray(part, format="flt", layout=format.layout)
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            for converted in to_encoder.resample(frame):
                out.mux(stream.encode(converted))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def damaged(data: bytes, other: bytes, dice: random.Random) -> bytes:
    """`data` with one to six damages, half of them near its beginning, where headers are; some take from `other`."""
    mutant = bytearray(data)
    for _ in range(dice.randint(1, MAX_DAMAGES)):
        if not mutant:
            break
        reach = min(len(mutant), dice.choice([64, 1024, len(mutant)]))
        at = dice.randrange(reach)
        size = dice.choice([1, 2, 4, 16, 256, 4096])
        _damage(mutant, at, size, other, dice)
    return bytes(mutant)


def _damage(mutant: bytearray, at: int, size: int, other: bytes, dice: random.Random) -> None:
    match dice.randrange(8):
        case 0:
            mutant[at] ^= 1 << dice.randrange(8)
        case 1:
            mutant[at : at + size] = dice.randbytes(size)
        case 2:
            number = struct.pack(dice.choice(["<I", ">I"]), dice.choice(NUMBERS))
            mutant[at : at + 4] = number
        case 3:
            number = struct.pack(dice.choice(["<H", ">H"]), dice.choice(NUMBERS) & 0xFFFF)
            mutant[at : at + 2] = number
        case 4:
            del mutant[at : at + size]
        case 5:
            mutant[at:at] = mutant[at : at + size] * dice.choice([1, 2, 50])
        case 6:
            start = dice.randrange(len(other))
            mutant[at:at] = other[start : start + size]
        case 7:
            del mutant[at + size :]
