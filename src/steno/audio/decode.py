"""Decodes uploaded media to float32 mono at `SAMPLE_RATE`, in chunks.

    bytes → GuardedReader → FFmpeg (demux, decode) → Mixer → Timeline → Resampler → chunks

The consumer pulls (back-pressure): nothing runs ahead of it, and memory is bounded by a constant, not by the file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from loguru import logger

from steno.audio.container import Media, check_shape, open_media
from steno.audio.mix import Mixer
from steno.audio.ogg_links import links_of
from steno.audio.resample import Resampler
from steno.audio.source import DecodeCancelled, MediaSource, opened
from steno.audio.timeline import Timeline
from steno.errors import AudioError, AudioTooLongError, EmptyAudioError, UndecodableAudioError
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

__all__ = ["DecodeCancelled", "MediaInfo", "decode", "probe"]

HEADER_SLACK_S = 1.0
"""Tolerance when a duration is checked before decoding: packets may include padding that is not decoded."""

MISSING_S = 1.0
"""A file that ends earlier than its header says by more than this is truncated."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """A file's header data of the audio track that is decoded."""

    container: str
    codec: str
    sample_rate: int
    channels: int
    duration_s: float | None
    """From the header, or estimated by bit rate; None = unknown."""
    is_exact: bool = False
    """Whether the duration is from the header."""


def probe(source: BinaryIO | Path) -> MediaInfo:
    """Read the header only. Raises as `decode` does."""
    with opened(source) as file, open_media(file, None) as media:
        return _info_of(media)


def decode(
    source: MediaSource | Path,
    *,
    max_seconds: float | None,
    track: str | None = None,
    cancelled: threading.Event | None = None,
    chunk_s: float = 1.0,
    on_open: Callable[[MediaInfo], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> Iterator[Audio]:
    """Yield an audio track of `source` in chunks of `chunk_s`, the last one shorter; values in [-1, 1].

    Runs in this process, which a damaged file may crash or exhaust: use `sandbox.decoder_pool` for untrusted files.
    `on_open` is called with the header's data, before any audio; `on_warning` with a sentence for each kind of damage,
    after all audio.
    A seekable `source` is read from its start; it is not closed. Closing the generator releases everything else.
    Times in the output are times in a player (`Timeline`); all channels are mixed (`Mixer`). The links of a chained Ogg
    file follow each other (`ogg_links`).

    Damaged or truncated files yield what can be decoded. A truncated WAV file is not detected: the length field of many
    intact ones is wrong. A header's duration is a hint: if it exceeds `max_seconds`, the packets are counted before the
    file is refused.

    Raises, at the first `next` or later:
        NotAudioError: the format is not supported, or there is no audio track.
        UndecodableAudioError: nothing can be decoded.
        EmptyAudioError: it has no samples.
        AudioTooLongError: longer than `max_seconds`.
        AudioTrackNotFoundError: there is no such `track`.
        DecodeCancelled: `cancelled` was set.
    and whatever reading `source` raises.
    """
    with opened(source) as file:
        recording = _Recording(links_of(file), max_seconds, track, cancelled, on_open)
        samples = 0
        for chunk in _chunks(_resampled(recording.mono()), round(chunk_s * SAMPLE_RATE)):
            samples += len(chunk)
            if max_seconds is not None and samples > max_seconds * SAMPLE_RATE:
                raise _too_long(max_seconds)
            yield chunk
        if not samples and recording.promised:
            raise UndecodableAudioError("The audio is damaged: nothing of it can be decoded.")
        if not samples:
            raise EmptyAudioError("The file has an audio track, but no samples in it.")
        warnings = recording.damage.warnings(samples / SAMPLE_RATE)
        if warnings:
            logger.warning("audio is damaged: {}", "; ".join(warnings))
        if on_warning is not None:
            for warning in warnings:
                on_warning(warning)


@dataclass(slots=True)
class _Damage:
    packets: int = 0
    jumps: int = 0
    links: int = 0
    claimed_s: float | None = None
    """What the header says of a file with a single track, where that is more than an estimate."""

    def warnings(self, decoded_s: float) -> list[str]:
        """A sentence for each kind of damage."""
        found = []
        if self.packets:
            found.append(f"{self.packets} packets could not be decoded and were left out")
        if self.links:
            found.append(f"{self.links} parts of the chained file could not be read and were left out")
        if self.jumps:
            found.append(f"timestamps jumped {self.jumps} times and were not followed")
        if self.claimed_s is not None and decoded_s < self.claimed_s - MISSING_S:
            found.append(f"the audio ends after {decoded_s:.1f} s, the header says {self.claimed_s:.1f} s")
        return found


class _Recording:
    """The links of one file, one behind the other; a file that is not chained is one link."""

    def __init__(
        self,
        links: Sequence[MediaSource],
        max_seconds: float | None,
        track: str | None,
        cancelled: threading.Event | None,
        on_open: Callable[[MediaInfo], None] | None,
    ) -> None:
        self._links = links
        self._max_seconds = max_seconds
        self._track = track
        self._cancelled = cancelled
        self._on_open = on_open
        self.damage = _Damage()
        self.promised = False
        """Whether there is reason to expect samples."""

    def mono(self) -> Iterator[tuple[int, Audio]]:
        """(sample rate, samples)."""
        for number, link in enumerate(self._links):
            try:
                yield from self._link(link, is_first=number == 0)
            except AudioTooLongError:
                raise
            except AudioError:
                if number == 0:
                    raise
                self.damage.links += 1

    def _link(self, link: MediaSource, *, is_first: bool) -> Iterator[tuple[int, Audio]]:
        with open_media(link, self._cancelled, track=self._track) as media:
            if not self._claims_too_much(media):
                yield from self._decoded(media, is_first=is_first)
                return
            assert self._max_seconds is not None
            if media.packets_s() > self._max_seconds + HEADER_SLACK_S:
                raise _too_long(self._max_seconds)
        with open_media(link, self._cancelled, track=self._track) as media:  # its packets have been taken
            yield from self._decoded(media, is_first=is_first)

    def _claims_too_much(self, media: Media) -> bool:
        claimed_s = media.exact_s
        return (
            self._max_seconds is not None and claimed_s is not None and claimed_s > self._max_seconds + HEADER_SLACK_S
        )

    def _decoded(self, media: Media, *, is_first: bool) -> Iterator[tuple[int, Audio]]:
        if is_first and self._on_open is not None:
            self._on_open(replace(_info_of(media), duration_s=media.claimed_s if len(self._links) == 1 else None))
        timeline = Timeline(media.start_s)
        yield from _mono(media, timeline)
        self.promised |= bool(media.damaged_packets) or media.claimed_s is not None
        self.damage.packets += media.damaged_packets
        self.damage.jumps += timeline.jumps
        if len(self._links) == 1 and len(media.container.streams) == 1:
            self.damage.claimed_s = media.exact_s


def _info_of(media: Media) -> MediaInfo:
    context = media.stream.codec_context
    return MediaInfo(
        container=media.format,
        codec=context.name,
        sample_rate=context.sample_rate,
        channels=context.layout.nb_channels,
        duration_s=media.claimed_s,
        is_exact=media.exact_s is not None,
    )


def _mono(media: Media, timeline: Timeline) -> Iterator[tuple[int, Audio]]:
    """(sample rate, samples), with silence in gaps of the timeline, at most 1 s at a time."""
    mixer = Mixer()
    for frame in media.frames():
        rate = frame.sample_rate
        check_shape(rate, frame.layout.nb_channels)
        silence = round(timeline.silence_before(frame.time, frame.samples / rate) * rate)
        for start in range(0, silence, rate):
            yield rate, np.zeros(min(rate, silence - start), np.float32)
        yield rate, mixer.mix(frame)


def _resampled(parts: Iterator[tuple[int, Audio]]) -> Iterator[Audio]:
    """At `SAMPLE_RATE`. The rate may change: recordings may have been appended to each other."""
    resampler: Resampler | None = None
    for rate, audio in parts:
        if resampler is None or resampler.rate != rate:
            if resampler is not None:
                yield resampler.flush()
            resampler = Resampler(rate)
        yield resampler.feed(audio)
    if resampler is not None:
        yield resampler.flush()


def _chunks(parts: Iterator[Audio], size: int) -> Iterator[Audio]:
    """The same samples in arrays of `size`, each in its own memory. The resampler's overshoot is clipped."""
    if size < 1:
        raise ValueError("chunk_s must be at least one sample")
    chunk, filled = np.empty(size, np.float32), 0
    for part in parts:
        consumed = 0
        while consumed < len(part):
            count = min(size - filled, len(part) - consumed)
            chunk[filled : filled + count] = part[consumed : consumed + count]
            consumed, filled = consumed + count, filled + count
            if filled == size:
                yield np.clip(chunk, -1, 1, out=chunk)
                chunk, filled = np.empty(size, np.float32), 0
    if filled:
        yield np.clip(chunk[:filled], -1, 1)


def _too_long(max_seconds: float) -> AudioTooLongError:
    return AudioTooLongError(f"The audio is longer than {max_seconds:g} s, the maximum of this server; split it.")
