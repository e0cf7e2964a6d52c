"""The bytes of a live client's messages to float32 mono at `SAMPLE_RATE`.

However the bytes are split into messages, the audio is the same. What a message gives comes out before the next one is
needed, so nothing piles up, and comes in pieces of a second at most, so that a large message needs no large memory.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

import numpy as np

from steno.audio.box_headers import BoxHeaders
from steno.audio.container import AcceptedFormats
from steno.audio.pcm import Encoding, PcmDecoder
from steno.audio.resample import Resampler
from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.audio.stream_decoder import StreamDecoder
from steno.errors import AudioError, NotAudioError, UndecodableAudioError

if TYPE_CHECKING:
    from steno.types import Audio

MIN_PCM_RATE = 8_000
MAX_PCM_RATE = 48_000

Container: TypeAlias = Literal["webm", "ogg", "mp4"]
CONTAINERS: tuple[Container, ...] = get_args(Container)

_ADVICE = "Send WebM, Ogg or fragmented MP4, as browsers record it, or raw PCM."
_DEMUXERS: dict[Container, str] = {"webm": "matroska", "ogg": "ogg", "mp4": "mov"}
_NAMES: dict[Container, str] = {"webm": "WebM", "ogg": "Ogg", "mp4": "MP4"}

MAX_UNDECODED: dict[Container, int] = {"webm": 1 << 19, "ogg": 1 << 17, "mp4": 1 << 19}
"""Bytes without any audio, at the beginning or later, that are still put up with. A recorder's header has some hundred,
a picture of a video that comes along up to some hundred thousand; nobody sends live video in Ogg. More would cost:
FFmpeg compares each comment in a header with all before it, and takes 10 s for 1 MB of them."""

MAX_FAILURES = 8
"""Recordings of one stream that may be damaged; then no more are begun. Each may cost a new decoder process."""

_EBML = b"\x1aE\xdf\xa3"
"""Begins a Matroska or WebM file, and nothing inside of one (RFC 8794, 8.1)."""

_OGG = b"OggS\0"
"""Begins every page of an Ogg stream; a flag in the next byte tells the first one (RFC 3533, 6)."""

_OGG_FIRST_PAGE = 2

_FTYP = b"ftyp"
"""The type of the box that begins an MP4 file, behind four bytes with its size (ISO/IEC 14496-12, 4.3)."""

_FILES = {b"RIFF": "a WAV", b"RF64": "a WAV", b"fLaC": "a FLAC", b"ID3": "an MP3", b"OggS": "an Ogg", _EBML: "a WebM"}
"""How files begin that are sent as raw samples by mistake. (A bare MP3 frame begins with too few bytes to be sure.)"""

_SNIFF_BYTES = 8


class Intake(Protocol):
    """Turns messages into audio. One call at a time."""

    def feed(self, data: bytes) -> AsyncIterator[Audio]:
        """What can be had now, in arrays of shape [n], n ≤ `SAMPLE_RATE`, with values in [-1, 1].

        To be iterated to its end: what is given up loses the rest of its message.
        """

    async def flush(self) -> Audio:
        """What was held back to look ahead. The stream may go on."""

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
        self._encoding = encoding
        self._head: bytes | None = b""
        """The first bytes, until there are enough to tell what they are."""
        self._is_file = False

    async def feed(self, data: bytes) -> AsyncGenerator[Audio, None]:
        if self._head is not None:
            data, self._head = self._head + data, None
            if len(data) < _SNIFF_BYTES:
                self._head = data
                return
            if (kind := _file_kind(data)) is not None:
                self._is_file = True
                raise NotAudioError(
                    f"The stream begins as {kind} file does, but the session takes raw {self._encoding} samples. Open "
                    "it for the container (webm, ogg or mp4), or send the samples without their file."
                )
        if self._is_file:
            return
        for start in range(0, len(data), self._step):
            samples = self._decoder.feed(data[start : start + self._step])
            audio = np.clip(self._resampler.feed(samples), -1, 1)
            if len(audio):
                yield audio

    async def flush(self) -> Audio:
        """The resampler's rest; half a sample stays, for the next `feed`."""
        begun, self._head = self._head, None
        first = self._resampler.feed(self._decoder.feed(begun)) if begun else np.zeros(0, np.float32)
        rest: Audio = np.clip(np.concatenate([first, self._resampler.flush()]), -1, 1)
        return rest

    async def aclose(self) -> None:
        pass


class ContainerIntake:
    """A live WebM (Matroska), Ogg or fragmented MP4 stream, as a browser's MediaRecorder sends it.

    Safari's is MP4 with AAC; others send Opus. Vorbis, FLAC and PCM are read as well.

    A message that begins as a file does is a recorder that was started anew: the audio before it is finished, then
    that of the new one follows. Gaps in the timestamps are not filled.

    `feed` raises, once for each time:
        NotAudioError: the stream begins otherwise, or has no audio track.
        UndecodableAudioError: it is damaged, in a codec that we do not read, or without audio for too long.
        OverloadedError, UnavailableError: there is no decoder for it now.
    Then bytes are dropped until a message begins as a file does; after `MAX_FAILURES` damaged ones, all are.

    Needs the running event loop, and a thread and a decoder process from the first message to `aclose`.
    """

    def __init__(self, decoders: DecoderPool, container: Container | None = None) -> None:
        """`container` is the only one that is accepted; None = any."""
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
        if _may_begin(data):
            self._held = data
            return
        begun = _begun(data)
        if begun is not None and self._is_new(begun):
            async for piece in self._begin(begun):
                yield piece
        if self._decoder is None:
            self._refuse(data)
            return
        if self._boxes is not None:
            data = self._boxes.feed(data)
        try:
            async for piece in self._decoder.feed(data):
                self._decoded = True
                yield piece
        except AudioError:
            self._failures += 1
            raise

    async def flush(self) -> Audio:
        if self._decoder is None:
            return np.zeros(0, np.float32)
        return await self._decoder.flush()

    async def aclose(self) -> None:
        self._closed = True
        if self._decoder is not None:
            await self._decoder.aclose()

    def _is_new(self, begun: Container) -> bool:
        """An Ogg file may begin with several first pages, of a track each: before there is audio, it is still one."""
        if begun not in self._allowed or self._failures >= MAX_FAILURES:
            return False
        return self._decoder is None or self._decoder.finished or begun != "ogg" or self._decoded

    async def _begin(self, begun: Container) -> AsyncGenerator[Audio, None]:
        if self._decoder is not None:
            async for piece in self._decoder.finish():
                yield piece
        if not self._closed:
            self._decoder = StreamDecoder(self._decoders, _accepted(begun), MAX_UNDECODED[begun])
            self._boxes = BoxHeaders() if begun == "mp4" else None
            self._decoded = False

    def _refuse(self, data: bytes) -> None:
        if self._refused or self._closed:
            return
        self._refused = True
        if data.startswith(_OGG) and "ogg" in self._allowed:
            raise UndecodableAudioError("The stream begins in the middle of an Ogg stream: start the recording anew.")
        *others, last = (_NAMES[container] for container in self._allowed)
        names = f"{', '.join(others)} or {last}" if others else last
        raise NotAudioError(f"The stream does not begin as {names} does. {_ADVICE}")


def _accepted(container: Container) -> AcceptedFormats:
    return AcceptedFormats(
        demuxer=_DEMUXERS[container],
        codecs="opus,libopus,vorbis,flac,pcm_f32le,pcm_s16le" + (",aac,alac" if container == "mp4" else ""),
        # A recorder makes one or two. Each can cost 30 MB before FFmpeg has seen whether it makes sense.
        max_tracks=4,
        # Never read ahead to learn more of a video that comes along.
        options={"analyzeduration": "1", "probesize": "32"},
        noun="stream",
        advice=_ADVICE,
    )


def _begun(data: bytes) -> Container | None:
    """Which file `data` is the beginning of; None = of none."""
    if data.startswith(_EBML):
        return "webm"
    if data[4:8] == _FTYP:
        return "mp4"
    first_page = data.startswith(_OGG) and len(data) > len(_OGG) and data[len(_OGG)] & _OGG_FIRST_PAGE
    return "ogg" if first_page else None


def _may_begin(data: bytes) -> bool:
    """More bytes are needed to tell: MediaRecorder's first message can be a single one."""
    if len(data) < _SNIFF_BYTES and b"\0\0\0".startswith(data[:3]) and _FTYP.startswith(data[4:]):
        return True
    return _OGG.startswith(data) or (data != _EBML and _EBML.startswith(data))


def _file_kind(head: bytes) -> str | None:
    """What kind of file begins so, with its article; None = none that is known."""
    if head[4:8] == _FTYP:
        return "an MP4"
    return next((kind for magic, kind in _FILES.items() if head.startswith(magic)), None)
