"""Recordings made on the spot."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steno.audio.decode import decode
from steno.types import SAMPLE_RATE


def wav(audio: NDArray[np.float32]) -> bytes:
    """A 16-bit mono WAV file at 16 kHz."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((audio * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def repeated(sentence: Path, times: int) -> bytes:
    """A WAV file of the same sentence again and again, with a second of silence after each."""
    audio = np.concatenate([*decode(sentence, max_seconds=None), np.zeros(SAMPLE_RATE, "f4")])
    return wav(np.tile(audio, times))


def conversation(fixtures: Path, *names: str, longest_s: float = 60.0) -> bytes:
    """A WAV file of the first `longest_s` of each of these recordings, with half a second of silence after each."""
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    longest = round(longest_s * SAMPLE_RATE)
    said = [np.concatenate([*decode(fixtures / f"{name}.flac", max_seconds=None)])[:longest] for name in names]
    return wav(np.concatenate([part for audio in said for part in (audio, pause)]))
