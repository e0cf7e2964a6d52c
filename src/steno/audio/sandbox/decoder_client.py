"""The parent's side of a job: serves a decoder process's read requests and passes its audio on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import numpy as np
from loguru import logger

from steno.audio.decode import MediaInfo
from steno.audio.sandbox.decoder_process import DecoderDiedError, DecoderProcess
from steno.audio.sandbox.wire import READ, DecodeJob, MessageKind, SandboxProtocolError, unpack_json
from steno.audio.source import DecodeCancelled, MediaSource
from steno.errors import (
    AudioError,
    AudioTooLongError,
    AudioTrackNotFoundError,
    EmptyAudioError,
    NotAudioError,
    UndecodableAudioError,
)

if TYPE_CHECKING:
    from steno.types import Audio

CANCEL_GRACE_S = 1.0
"""How long a decoder may take to end a cancelled job before it is killed."""

MAX_LOG_LINES = 20
"""Max log lines per job."""

_ERRORS: dict[str, type[AudioError]] = {
    error.__name__: error
    for error in (NotAudioError, UndecodableAudioError, EmptyAudioError, AudioTooLongError, AudioTrackNotFoundError)
}


class FlushableSource(Protocol):
    """A live stream's bytes."""

    def read(self, size: int, /) -> bytes | None:
        """At most `size` available bytes; blocks if there are none. Empty = the end. None = flush: first emit what the
        resampler holds back."""


def converse(
    process: DecoderProcess,
    job: DecodeJob,
    source: MediaSource | FlushableSource,
    cancelled: threading.Event | None = None,
    on_open: Callable[[MediaInfo], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> Generator[Audio, None, None]:
    """Run `job` in `process` and yield its audio, at most 1 s at a time.

    If it ends early, by any error or by closing the generator, the process stays busy and must not be used again.

    Raises:
        AudioError: of the decoder; an UndecodableAudioError if it died.
        DecodeCancelled: `cancelled` was set.
        Exception: any exception of reading `source`.
    """
    noun = "file" if job.live is None else job.live.noun
    try:
        yield from _exchange(process, job, source, cancelled, on_open, on_warning)
    except DecoderDiedError as death:
        logger.warning("the decoder process of a {} died: {}", noun, death)
        raise UndecodableAudioError(
            f"The {noun} is damaged: its decoder crashed, or exceeded its time or memory limit."
        ) from None
    except SandboxProtocolError as error:
        logger.error("a decoder process sent an invalid message: {}", error)
        raise UndecodableAudioError(f"The {noun} cannot be decoded.") from None


def _exchange(
    process: DecoderProcess,
    job: DecodeJob,
    source: MediaSource | FlushableSource,
    cancelled: threading.Event | None,
    on_open: Callable[[MediaInfo], None] | None,
    on_warning: Callable[[str], None] | None,
) -> Generator[Audio, None, None]:
    lines = 0
    process.is_busy = True
    process.send(MessageKind.JOB, job.pack())
    while True:
        kind, payload = process.receive(cancelled)
        match kind:
            case MessageKind.AUDIO:
                yield np.frombuffer(payload, np.float32)
            case MessageKind.READ:
                data = _read(source, payload, seekable=job.size is not None)
                if cancelled is not None and cancelled.is_set():
                    _cancel_job(process)
                    raise DecodeCancelled
                process.send(MessageKind.FLUSH if data is None else MessageKind.DATA, data or b"")
            case MessageKind.INFO if on_open is not None:
                on_open(MediaInfo(**unpack_json(payload)))
            case MessageKind.WARNING if on_warning is not None:
                on_warning(str(unpack_json(payload)["text"]))
            case MessageKind.LOG if lines < MAX_LOG_LINES:
                lines += 1
                _log(payload)
            case MessageKind.DONE:
                _end(process, payload)
                return


def _read(source: MediaSource | FlushableSource, request: bytearray, *, seekable: bool) -> bytes | None:
    offset, size = READ.unpack(request)
    if seekable:
        source.seek(offset)  # type: ignore[union-attr]
        return bytes(source.read(size) or b"")
    data = source.read(size)
    return None if data is None else bytes(data)


def _log(payload: bytearray) -> None:
    line = unpack_json(payload)
    logger.log(str(line["level"]), "{}", line["text"])


def _end(process: DecoderProcess, payload: bytearray) -> None:
    """Raises the error that the job ended with."""
    outcome = unpack_json(payload)
    process.is_busy = bool(outcome["is_worn"])
    if "error" in outcome:
        kind = _ERRORS.get(str(outcome["error"]), UndecodableAudioError)
        raise kind(str(outcome["message"]), param=outcome.get("param"))


def _cancel_job(process: DecoderProcess) -> None:
    """Send no more bytes to a decoder that waits for them: it usually ends its job and can be used again."""
    deadline = time.monotonic() + CANCEL_GRACE_S
    with suppress(DecoderDiedError, SandboxProtocolError):
        process.send(MessageKind.DATA)
        while (left_s := deadline - time.monotonic()) > 0:
            kind, payload = process.receive(timeout_s=left_s)
            if kind is MessageKind.DONE:
                process.is_busy = bool(unpack_json(payload)["is_worn"])
                return
            if kind is MessageKind.READ:
                process.send(MessageKind.DATA)
