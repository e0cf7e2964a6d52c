"""Media files made in memory: what PyAV encodes, and WAV files written by hand, sane or not."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1", 16: "hexadecagonal"}
SAMPLES_PER_FRAME = 1024


@dataclass(frozen=True)
class Kind:
    """A container with an audio codec, and the sample format that its encoder takes."""

    container: str
    codec: str
    sample_format: str = "fltp"


FLAC = Kind("flac", "flac", "s16")
MP3 = Kind("mp3", "libmp3lame")
M4A = Kind("ipod", "aac")
ADTS = Kind("adts", "aac")
OPUS = Kind("ogg", "libopus", "flt")
WEBM = Kind("webm", "libopus", "flt")
MP4 = Kind("mp4", "aac")
MKV = Kind("matroska", "aac")
MPEG_TS = Kind("mpegts", "aac")
AC3 = Kind("ac3", "ac3")
WAVPACK = Kind("wv", "wavpack", "s16p")


def tone(seconds: float, rate: int, *, hertz: float = 440.0, level: float = 0.5) -> NDArray[np.float32]:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encode(
    samples: NDArray[np.float32],
    rate: int,
    kind: Kind,
    *,
    shifts: tuple[tuple[float, float], ...] = (),
    picture: bool = False,
    silent_tracks: int = 0,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """Encode `samples`, shape `[n]` or `[channels, n]`.

    Each of `shifts`, `(from_s, by_s)`, moves the timestamps of all audio from `from_s` on. `picture` adds a small
    video track that starts at 0; `silent_tracks` follow the audio track, a frame long each.
    """
    channels = np.atleast_2d(samples)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind.container) as out:
        out.metadata.update(metadata or {})
        video = out.add_stream("mpeg4", rate=5) if picture else None
        audio = out.add_stream(kind.codec, rate=rate, layout=_layout(channels))
        silent = [out.add_stream(kind.codec, rate=rate, layout="mono") for _ in range(silent_tracks)]
        audio.format = kind.sample_format
        audio.time_base = Fraction(1, rate)
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for shade in range(5 * channels.shape[1] // rate + 1):
                image = np.full((48, 64, 3), shade % 200, np.uint8)
                out.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            out.mux(video.encode(None))
        for track in silent:
            track.time_base = Fraction(1, rate)
            for frame in [*_frames(np.zeros((1, SAMPLES_PER_FRAME), np.float32), rate, kind.sample_format), None]:
                out.mux(track.encode(frame))
        for frame in [*_frames(channels, rate, kind.sample_format), None]:
            for packet in audio.encode(frame):
                shift_s = sum(by_s for from_s, by_s in shifts if packet.pts * packet.time_base >= from_s)
                packet.pts += round(shift_s / packet.time_base)
                packet.dts += round(shift_s / packet.time_base)
                out.mux(packet)
    return buffer.getvalue()


def picture_only() -> bytes:
    """A video without any audio track."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        video = out.add_stream("mpeg4", rate=5)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            image = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            out.mux(video.encode(image))
        out.mux(video.encode(None))
    return buffer.getvalue()


def _layout(channels: NDArray[np.float32]) -> str:
    return LAYOUTS.get(len(channels), f"{len(channels)} channels")


def _frames(channels: NDArray[np.float32], rate: int, sample_format: str) -> Iterator[av.AudioFrame]:
    """Made packed: PyAV reaches only the first planes of a frame (`steno.audio.mix.MAX_PLANES`)."""
    packed = "s16" if sample_format.startswith("s16") else "flt"
    samples = np.round(channels * 32767).astype(np.int16) if packed == "s16" else channels
    resampler = av.AudioResampler(format=sample_format)
    for start in range(0, channels.shape[1], SAMPLES_PER_FRAME):
        part = np.ascontiguousarray(samples[:, start : start + SAMPLES_PER_FRAME].T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(part, format=packed, layout=_layout(channels))
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield from resampler.resample(frame)


def wav(
    data: bytes,
    *,
    rate: int = 16_000,
    channels: int = 1,
    bits: int = 16,
    format_tag: int = 1,
    claimed_bytes: int | None = None,
) -> bytes:
    """A WAV file around `data`, byte by byte as given. `format_tag`: 1 PCM, 3 float, 6 A-law, 7 µ-law."""
    block = channels * bits // 8
    claimed = len(data) if claimed_bytes is None else claimed_bytes
    return b"".join(
        [
            struct.pack("<4sI4s", b"RIFF", min(36 + claimed, 0xFFFF_FFFF), b"WAVE"),
            struct.pack("<4sIHH", b"fmt ", 16, format_tag, channels),
            struct.pack("<IIHH", rate, rate * block & 0xFFFF_FFFF, block & 0xFFFF, bits),
            struct.pack("<4sI", b"data", claimed),
            data,
        ]
    )


def wav16(samples: NDArray[np.float32], rate: int = 16_000) -> bytes:
    """`samples`, shape `[n]` or `[channels, n]`, as a 16-bit WAV file."""
    channels = np.atleast_2d(samples)
    data = np.round(channels.T * 32767).astype("<i2").tobytes()
    return wav(data, rate=rate, channels=channels.shape[0])
