"""Known speakers: their names, and recordings of their voices as data URLs."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Sequence

from steno.errors import AudioError, InvalidRequestError
from steno.pipelines.recording_reader import RecordingOpener, RecordingPiece
from steno.pipelines.recording_speakers import KnownSpeaker

MAX_KNOWN = 10
MAX_NAME = 100
MIN_SAMPLE_S = 1.0
"""Of speech in a sample of a voice. OpenAI asks for samples of 2 to 10 s."""
DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.+-]+=[^;,]*)*;base64,")


def check_known(names: Sequence[str] | None, references: Sequence[str] | None) -> bool:
    """Whether there are any; the references are not decoded, which takes milliseconds.

    Raises:
        InvalidRequestError: they don't go together, or a name is invalid.
    """
    names, references = names or (), references or ()
    if len(names) != len(references):
        text = f"{len(names)} names and {len(references)} references were sent; each name needs its reference"
        raise InvalidRequestError(text, param="known_speaker_references[]")
    if len(names) > MAX_KNOWN:
        raise InvalidRequestError(f"at most {MAX_KNOWN} known speakers are supported", param="known_speaker_names[]")
    for name in names:
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable() or names.count(name) > 1:
            text = f"invalid name {name[:50]!r}; expected 1 to {MAX_NAME} printable characters, each name once"
            raise InvalidRequestError(text, param="known_speaker_names[]")
    for reference in references:
        if DATA_URL.match(reference) is None:
            text = f"invalid reference {reference[:30]!r}; expected a data URL: data:audio/wav;base64,…"
            raise InvalidRequestError(text, param="known_speaker_references[]")
    return bool(names)


def decoded_known(names: Sequence[str], references: Sequence[str]) -> list[tuple[str, bytes]]:
    """Names of speakers with recordings of their voices, which `check_known` accepts. Call it in a thread.

    Raises:
        InvalidRequestError: a reference is not valid base64.
    """
    return [(name, _decoded(name, reference)) for name, reference in zip(names, references, strict=True)]


async def known_speakers(samples: Sequence[tuple[str, bytes]], opener: RecordingOpener) -> tuple[KnownSpeaker, ...]:
    """Decode the samples of `check_known`.

    Raises:
        InvalidRequestError: one is not audio, or has too little speech.
    """
    return tuple([KnownSpeaker(name, await _sample(name, data, opener)) for name, data in samples])


async def _sample(name: str, data: bytes, opener: RecordingOpener) -> RecordingPiece:
    reader = opener.open(io.BytesIO(data))
    try:
        piece = await reader.read()
    except AudioError as error:
        text = f"the reference of {name!r} cannot be used: {error.message}"
        raise InvalidRequestError(text, param="known_speaker_references[]") from error
    finally:
        await reader.aclose()
    if piece is None or piece.speech_s < MIN_SAMPLE_S:
        text = f"the reference of {name!r} has less than {MIN_SAMPLE_S:g} s of speech"
        raise InvalidRequestError(text, param="known_speaker_references[]")
    return piece


def _decoded(name: str, reference: str) -> bytes:
    """Base64 in a data URL may have white space (https://fetch.spec.whatwg.org/#data-url-processor): `base64` wraps
    its output and ends it with a newline."""
    try:
        return base64.b64decode("".join(reference[reference.index(",") + 1 :].split()), validate=True)
    except (binascii.Error, ValueError):
        text = f"the reference of {name!r} is not valid base64"
        raise InvalidRequestError(text, param="known_speaker_references[]") from None
