"""Decodes a live client's messages to float32 mono at `SAMPLE_RATE`.

The audio does not depend on how the bytes are split into messages. The audio of a message is returned before the next
one is needed (back-pressure), in pieces of at most 1 s, so that a large message needs little memory.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

import numpy as np

from steno.audio.box_headers import BoxHeaders
from steno.audio.container import AcceptedFormats
from steno.audio.pcm import Encoding, PcmDecoder
from steno.audio.resample import Resampler
from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.audio.signatures import EBML, FTYP, OGG_PAGE, file_format
from steno.audio.stream_decoder import StreamDecoder
from steno.audio.wav_header import FORMATS
from steno.errors import AudioError, NotAudioError, UndecodableAudioError
from steno.types import BYTES_PER_SAMPLE

if TYPE_CHECKING:
    from steno.types import Audio

MIN_PCM_RATE = 8_000
MAX_PCM_RATE = 48_000

Container: TypeAlias = Literal["webm", "ogg", "mp4"]
CONTAINERS: tuple[Container, ...] = get_args(Container)

_ADVICE = "Send WebM, Ogg or fragmented MP4, as browsers record it, or raw PCM."
_DEMUXERS: dict[Container, str] = {"webm": "matroska", "ogg": "ogg", "mp4": "mov"}
_NAMES: dict[Container, str] = {"webm": "WebM", "ogg": "Ogg", "mp4": "MP4"}

MAX_UNDECODED_BYTES: dict[Container, int] = {"webm": 1 << 19, "ogg": 1 << 17, "mp4": 1 << 19}
"""Max bytes without any audio, at the start or later. A recorder's header has some hundred; a picture of a video track
up to some hundred thousand, but not in Ogg. More would be costly: FFmpeg compares each comment in a header with all
before it, and takes 10 s for 1 MB of them."""

MAX_FAILURES = 8
"""Max damaged recordings of one stream; later ones are ignored. Each may cost a new decoder process."""

_OGG = OGG_PAGE + b"\0"
"""Start of every page in version 0 of Ogg; a flag in the next byte marks the first page (RFC 3533, 6)."""

_OGG_FIRST_PAGE = 2

_SNIFF_BYTES = 8

MAX_WAV_HEADER = 4096
"""Max bytes of a WAV file before its samples."""

BOX_SLICE_BYTES = 1 << 13
"""Max bytes of MP4 whose box headers are parsed at once on the event loop: 0.6 ms if they are nothing but headers."""


class Intake(Protocol):
    """Turns messages into audio. One call at a time."""

    def feed(self, data: bytes) -> AsyncIterator[Audio]:
        """The audio that is complete now, in arrays of shape [n], n ≤ `SAMPLE_RATE`, with values in [-1, 1].

        Iterate it to its end: otherwise the rest of the message is lost.
        """

    async def flush(self) -> Audio:
        """The samples held back by filters. The stream may continue."""

    async def aclose(self) -> None:
        """Release everything. May be called again, and while a `feed` is waiting."""


class PcmIntake:
    """Raw mono samples. Never waits.

    `feed` raises NotAudioError, once, where the stream begins as a file does: its bytes would be noise. All of it is
    dropped.
    """

    def __init__(self, encoding: Encoding, sample_rate: int) -> None:
        if not MIN_PCM_RATE <= sample_rate <= MAX_PCM_RATE:
            raise ValueError(f"sample_rate must be {MIN_PCM_RATE} to {MAX_PCM_RATE} Hz, got {sample_rate}")
        self._decoder = PcmDecoder(encoding)
        self._resampler = Resampler(sample_rate)
        self._step = sample_rate // 2 * BYTES_PER_SAMPLE[encoding]
        self._encoding, self._sample_rate = encoding, sample_rate
        self._head: bytes | None = b""
        """The first bytes, until there are enough to tell what they are."""
        self._is_file = False

    async def feed(self, data: bytes) -> AsyncGenerator[Audio, None]:
        if self._head is not None:
            data, self._head = self._head + data, None
            if len(data) < _SNIFF_BYTES:
                self._head = data
                return
            if data.startswith(b"RIFF"):
                if b"data" not in data[:-4] and len(data) < MAX_WAV_HEADER:
                    self._head = data
                    return
                unwrapped = samples_of_wav(data, self._encoding, self._sample_rate)
                data = data if unwrapped is None else unwrapped
            if (name := file_format(data)) is not None:
                self._is_file = True
                article = "an" if name in ("MP3", "MP4", "Ogg") else "a"
                raise NotAudioError(
                    f"The stream begins as {article} {name} file does, but the session takes raw {self._encoding} "
                    "samples. Open it for the container (webm, ogg or mp4), or send the samples without their file."
                )
        if self._is_file:
            return
        for start in range(0, len(data), self._step):
            samples = self._decoder.feed(data[start : start + self._step])
            audio = self._resampler.feed(samples)
            if audio is not samples:  # a filter overshoots
                audio = np.clip(audio, -1, 1, out=audio)
            if len(audio):
                yield audio

    async def flush(self) -> Audio:
        """The resampler's rest; bytes of an incomplete sample stay for the next `feed`."""
        begun, self._head = self._head, None
        first = self._resampler.feed(self._decoder.feed(begun)) if begun else np.zeros(0, np.float32)
        rest: Audio = np.clip(np.concatenate([first, self._resampler.flush()]), -1, 1)
        return rest

    async def aclose(self) -> None:
        pass


class ContainerIntake:
    """A live WebM (Matroska), Ogg or fragmented MP4 stream, as a browser's MediaRecorder sends it.

    Safari's is MP4 with AAC; others send Opus. Vorbis, FLAC and PCM are read as well.

    A message that starts like a file is from a restarted recorder: the audio before it is finished, then that of the
    new one follows. Gaps in the timestamps are not filled.

    `feed` raises, once per failure:
        NotAudioError: the stream does not start like an allowed container, or has no audio track.
        UndecodableAudioError: it is damaged, its codec is not supported, or it has no audio for too long.
        OverloadedError, UnavailableError: no decoder is available now.
    Then bytes are dropped until a message starts like a file; after `MAX_FAILURES` damaged ones, all are.

    Needs the running event loop, and a thread and a decoder process from the first message to `aclose`.
    """

    def __init__(self, decoders: DecoderPool, container: Container | None = None) -> None:
        """`container` is the only one that is allowed; None = any."""
        if container not in (None, *CONTAINERS):
            raise ValueError(f"container must be one of {', '.join(CONTAINERS)}, got {container!r}")
        self._decoders = decoders
        self._allowed: tuple[Container, ...] = CONTAINERS if container is None else (container,)
        self._decoder: StreamDecoder | None = None
        self._boxes: BoxHeaders | None = None
        self._decoded = self._refused = self._closed = False
        self._held = b""
        self._failures = 0

    async def feed(self, data: bytes) -> AsyncGenerator[Audio, None]:
        if self._closed:
            raise RuntimeError("the intake is closed")
        data, self._held = self._held + data, b""
        if _is_undecidable(data):
            self._held = data
            return
        started = _container_of(data)
        if started is not None and self._is_new(started):
            async for piece in self._start(started):
                yield piece
        if self._decoder is None:
            self._refuse(data)
            return
        try:
            async for piece in self._decode(self._decoder, data):
                self._decoded = True
                yield piece
        except AudioError:
            self._failures += 1
            raise

    async def _decode(self, decoder: StreamDecoder, data: bytes) -> AsyncGenerator[Audio, None]:
        if self._boxes is None:
            async for piece in decoder.feed(data):
                yield piece
            return
        for start in range(0, len(data), BOX_SLICE_BYTES):
            async for piece in decoder.feed(self._boxes.feed(data[start : start + BOX_SLICE_BYTES])):
                yield piece
            if decoder.finished:
                return

    async def flush(self) -> Audio:
        if self._decoder is None:
            return np.zeros(0, np.float32)
        return await self._decoder.flush()

    async def aclose(self) -> None:
        self._closed = True
        if self._decoder is not None:
            await self._decoder.aclose()

    def _is_new(self, started: Container) -> bool:
        """Whether a new recording starts. An Ogg file may have several first pages, one per track, before any audio."""
        if started not in self._allowed or self._failures >= MAX_FAILURES:
            return False
        return self._decoder is None or self._decoder.finished or started != "ogg" or self._decoded

    async def _start(self, started: Container) -> AsyncGenerator[Audio, None]:
        if self._decoder is not None:
            async for piece in self._decoder.finish():
                yield piece
        if not self._closed:
            self._decoder = StreamDecoder(self._decoders, _accepted(started), MAX_UNDECODED_BYTES[started])
            self._boxes = BoxHeaders() if started == "mp4" else None
            self._decoded = False

    def _refuse(self, data: bytes) -> None:
        if self._refused or self._closed:
            return
        self._refused = True
        if data.startswith(_OGG) and "ogg" in self._allowed:
            raise UndecodableAudioError("The stream starts in the middle of an Ogg stream: restart the recording.")
        *others, last = (_NAMES[container] for container in self._allowed)
        names = f"{', '.join(others)} or {last}" if others else last
        raise NotAudioError(f"The stream does not start like {names}. {_ADVICE}")


def _accepted(container: Container) -> AcceptedFormats:
    return AcceptedFormats(
        demuxer=_DEMUXERS[container],
        codecs="opus,libopus,vorbis,flac,pcm_f32le,pcm_s16le" + (",aac,alac" if container == "mp4" else ""),
        # A recorder creates one or two. Each can cost 30 MB before FFmpeg validates it.
        max_tracks=4,
        # Never read ahead to analyse a video track.
        options={"analyzeduration": "1", "probesize": "32"},
        noun="stream",
        advice=_ADVICE,
    )


def _container_of(data: bytes) -> Container | None:
    """The container that `data` is the start of; None = no start."""
    if data.startswith(EBML):
        return "webm"
    if data[4:8] == FTYP:
        return "mp4"
    first_page = data.startswith(_OGG) and len(data) > len(_OGG) and data[len(_OGG)] & _OGG_FIRST_PAGE
    return "ogg" if first_page else None


def _is_undecidable(data: bytes) -> bool:
    """Whether more bytes are needed to decide: MediaRecorder's first message can be a single byte."""
    if len(data) < _SNIFF_BYTES and b"\0\0\0".startswith(data[:3]) and FTYP.startswith(data[4:]):
        return True
    return _OGG.startswith(data) or (data != EBML and EBML.startswith(data))


def samples_of_wav(data: bytes, encoding: Encoding, sample_rate: int) -> bytes | None:
    """The samples after a WAV header whose format is that of the session; None for any other (RIFF WAVE, mono)."""
    form, start = data.find(b"fmt ") + 8, data.find(b"data") + 8
    if form < 8 or start < 8 or len(data) < form + 16:
        return None
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, form)
    expected_tag, sample_bytes = FORMATS[encoding]
    is_same = (tag, bits, channels, rate) == (expected_tag, 8 * sample_bytes, 1, sample_rate)
    return data[start:] if is_same else None
