"""The wire of `/v1/audio/transcriptions`, for servers that take no tokens: a WAV file in, text out. Sans-IO."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from steno.backends.vllm.server_errors import ServerFailedError
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.base import Recognize
    from steno.types import Audio

TRANSCRIPTIONS = "/v1/audio/transcriptions"


@dataclass(frozen=True, slots=True)
class PieceForm:
    """The fields and the file of a multipart body."""

    fields: dict[str, str]
    wav: bytes


def form_of(work: Recognize, model: str) -> PieceForm:
    """The whole piece, without its stable text: the endpoint cannot be given one."""
    fields = {"model": model, "response_format": "json", "temperature": "0"}
    if work.language is not None:
        fields["language"] = work.language
    if work.context:
        fields["prompt"] = work.context
    return PieceForm(fields, _wav(work.audio))


def text_of(answer: bytes) -> str:
    """
    Raises:
        ServerFailedError: it is not a transcription.
    """
    try:
        return msgspec.json.decode(answer, type=_Transcription).text.strip()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ServerFailedError(f"answered with something else than a transcription: {error}") from None


class _Transcription(msgspec.Struct):
    text: str


def _wav(audio: Audio) -> bytes:
    samples = np.clip(np.rint(audio * 32768.0), -32768, 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes(samples.tobytes())
    return file.getvalue()
