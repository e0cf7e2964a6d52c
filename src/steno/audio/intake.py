"""The bytes of a live client's messages to float32 mono at `SAMPLE_RATE`.

However the bytes are split into messages, the audio is the same. What a message gives comes out before the next one is
needed, so nothing piles up, and comes in pieces of a second at most, so that a large message needs no large memory.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

import numpy as np

from steno.audio.container import AcceptedFormats
from steno.audio.pcm import BYTES_PER_SAMPLE, Encoding, PcmDecoder
from steno.audio.resample import Resampler
from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.audio.stream_decoder import StreamDecoder
from steno.errors import AudioError, NotAudioError, UndecodableAudioError

if TYPE_CHECKING:
    from steno.types import Audio

MIN_PCM_RATE = 8_000
MAX_PCM_RATE = 48_000

Container: TypeAlias = Literal["webm", "ogg"]
CONTAINERS: tuple[Container, ...] = get_args(Container)

_ADVICE = "Send WebM or Ogg with Opus, as browsers record it, or raw PCM."
_DEMUXERS: dict[Container, str] = {"webm": "matroska", "ogg": "ogg"}
_NAMES: dict[Container, str] = {"webm": "WebM", "ogg": "Ogg"}

MAX_UNDECODED: dict[Container, int] = {"webm": 1 << 19, "ogg": 1 << 17}
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
    """Raw mono samples. Never waits, never fails."""

    def __init__(self, encoding: Encoding, sample_rate: int) -> None:
        if not MIN_PCM_RATE <= sample_rate <= MAX_PCM_RATE:
            raise ValueError(f"sample_rate must be {MIN_PCM_RATE} to {MAX_PCM_RATE} Hz, got {sample_rate}")
        self._decoder = PcmDecoder(encoding)
        self._resampler = Resampler(sample_rate)
        self._step = sample_rate // 2 * BYTES_PER_SAMPLE[encoding]

    async def feed(self, data: bytes) -> AsyncGenerator[Audio, None]:
        for start in range(0, len(data), self._step):
            samples = self._decoder.feed(data[start : start + self._step])
            audio = np.clip(self._resampler.feed(samples), -1, 1)
            if len(audio):
                yield audio

    async def flush(self) -> Audio:
        """The resampler's rest; half a sample stays, for the next `feed`."""
        return np.clip(self._resampler.flush(), -1, 1)

    async def aclose(self) -> None:
        pass


class ContainerIntake:
    """A live WebM (Matroska) or Ogg stream with Opus, Vorbis, FLAC or PCM, as a browser's MediaRecorder sends it.

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
        """`container` is the only one that is accepted; None = either."""
        if container not in (None, *CONTAINERS):
            raise ValueError(f"container must be one of {', '.join(CONTAINERS)}, got {container!r}")
        self._decoders = decoders
        self._allowed: tuple[Container, ...] = CONTAINERS if container is None else (container,)
        self._decoder: StreamDecoder | None = None
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
        return self._decoder is None or self._decoder.finished or begun == "webm" or self._decoded

    async def _begin(self, begun: Container) -> AsyncGenerator[Audio, None]:
        if self._decoder is not None:
            async for piece in self._decoder.finish():
                yield piece
        if not self._closed:
            self._decoder = StreamDecoder(self._decoders, _accepted(begun), MAX_UNDECODED[begun])
            self._decoded = False

    def _refuse(self, data: bytes) -> None:
        if self._refused or self._closed:
            return
        self._refused = True
        if data.startswith(_OGG) and "ogg" in self._allowed:
            raise UndecodableAudioError("The stream begins in the middle of an Ogg stream: start the recording anew.")
        names = " or ".join(_NAMES[container] for container in self._allowed)
        raise NotAudioError(f"The stream does not begin as {names} does. {_ADVICE}")


def _accepted(container: Container) -> AcceptedFormats:
    return AcceptedFormats(
        demuxer=_DEMUXERS[container],
        codecs="opus,libopus,vorbis,flac,pcm_f32le,pcm_s16le",
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
    first_page = data.startswith(_OGG) and len(data) > len(_OGG) and data[len(_OGG)] & _OGG_FIRST_PAGE
    return "ogg" if first_page else None


def _may_begin(data: bytes) -> bool:
    """More bytes are needed to tell: MediaRecorder's first message can be a single one."""
    return _OGG.startswith(data) or (data != _EBML and _EBML.startswith(data))
