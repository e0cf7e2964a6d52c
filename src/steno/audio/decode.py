"""Whatever people upload, as float32 mono at `SAMPLE_RATE`, piece by piece.

    bytes → GuardedReader → FFmpeg (demux, decode) → Mixer → Timeline → Resampler → chunks

Everything is pulled: nothing runs ahead of the consumer, and memory is bounded by a constant, not by the file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from loguru import logger

from steno.audio.container import Media, check_shape, open_media
from steno.audio.mix import Mixer
from steno.audio.resample import Resampler
from steno.audio.source import DecodeCancelled, MediaSource, opened
from steno.audio.timeline import Timeline
from steno.errors import AudioTooLongError, EmptyAudioError, UndecodableAudioError
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

__all__ = ["DecodeCancelled", "MediaInfo", "decode", "probe"]

HEADER_SLACK_S = 1.0
"""A header may count padding that is not decoded: only past this is a file refused for what its header says."""

MISSING_S = 1.0
"""A file that ends earlier than its header says by more than this was cut off."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file says about its first audio track."""

    container: str
    codec: str
    sample_rate: int
    channels: int
    duration_s: float | None
    """As the header has it, or estimated from the bit rate; None = unknown."""


def probe(source: BinaryIO | Path) -> MediaInfo:
    """Read the header only. Raises as `decode` does."""
    with opened(source) as file, open_media(file, None) as media:
        return _info_of(media)


def decode(
    source: MediaSource | Path,
    *,
    max_seconds: float | None,
    cancelled: threading.Event | None = None,
    chunk_s: float = 1.0,
    on_open: Callable[[MediaInfo], None] | None = None,
) -> Iterator[Audio]:
    """Yield the first audio track of `source` in chunks of `chunk_s`, the last one shorter; values in [-1, 1].

    In this process, which a damaged file may crash or exhaust: for strangers' files there is `sandbox.pool`.
    `on_open` is called with what the header says, before any audio.
    A seekable `source` is read from its beginning; it is not closed. Closing the generator releases all the rest.
    Times in the output are times in a player (`Timeline`); all channels are mixed (`Mixer`).

    What is damaged in the middle or breaks off yields what can be decoded, and one WARNING in the log. A WAV file
    cut short is not noticed: its length field is wrong in too many good ones.

    Raises, at the first `next` or later:
        NotAudioError: it is something else, or a video without an audio track.
        UndecodableAudioError: nothing of it can be decoded.
        EmptyAudioError: it has no samples.
        AudioTooLongError: longer than `max_seconds`: at once if its header says so, else when decoding gets there.
        DecodeCancelled: `cancelled` was set.
    and whatever reading `source` raises.
    """
    with opened(source) as file, open_media(file, cancelled) as media:
        if on_open is not None:
            on_open(_info_of(media))
        claimed_s = media.exact_s
        if max_seconds is not None and claimed_s is not None and claimed_s > max_seconds + HEADER_SLACK_S:
            raise _too_long(max_seconds)
        samples = 0
        timeline = Timeline(media.start_s)
        for chunk in _chunks(_resampled(_mono(media, timeline)), round(chunk_s * SAMPLE_RATE)):
            samples += len(chunk)
            if max_seconds is not None and samples > max_seconds * SAMPLE_RATE:
                raise _too_long(max_seconds)
            yield chunk
        if not samples and (media.damaged_packets or media.claimed_s is not None):
            raise UndecodableAudioError("The audio is damaged: nothing of it can be decoded.")
        if not samples:
            raise EmptyAudioError("The file has an audio track, but no samples in it.")
        _warn_of_damage(media, timeline, samples / SAMPLE_RATE)


def _info_of(media: Media) -> MediaInfo:
    context = media.stream.codec_context
    return MediaInfo(
        container=media.format,
        codec=context.name,
        sample_rate=context.sample_rate,
        channels=context.layout.nb_channels,
        duration_s=media.claimed_s,
    )


def _mono(media: Media, timeline: Timeline) -> Iterator[tuple[int, Audio]]:
    """(sample rate, samples), with silence where the timeline has gaps: a second at a time."""
    mixer = Mixer()
    for frame in media.frames():
        rate = frame.sample_rate
        check_shape(rate, frame.layout.nb_channels)
        silence = round(timeline.silence_before(frame.time, frame.samples / rate) * rate)
        for start in range(0, silence, rate):
            yield rate, np.zeros(min(rate, silence - start), np.float32)
        yield rate, mixer.mix(frame)


def _resampled(parts: Iterator[tuple[int, Audio]]) -> Iterator[Audio]:
    """At `SAMPLE_RATE`. The rate may change on the way: recordings get appended to each other."""
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
    """The same samples in arrays of `size`, each its own memory. The resampler's overshoot is clipped."""
    if size < 1:
        raise ValueError("chunk_s must be at least one sample")
    chunk, filled = np.empty(size, np.float32), 0
    for part in parts:
        taken = 0
        while taken < len(part):
            count = min(size - filled, len(part) - taken)
            chunk[filled : filled + count] = part[taken : taken + count]
            taken, filled = taken + count, filled + count
            if filled == size:
                yield np.clip(chunk, -1, 1, out=chunk)
                chunk, filled = np.empty(size, np.float32), 0
    if filled:
        yield np.clip(chunk[:filled], -1, 1)


def _too_long(max_seconds: float) -> AudioTooLongError:
    return AudioTooLongError(f"The audio is longer than {max_seconds:g} s, the most that is accepted here; split it.")


def _warn_of_damage(media: Media, timeline: Timeline, decoded_s: float) -> None:
    damage = []
    if media.damaged_packets:
        damage.append(f"{media.damaged_packets} packets could not be decoded")
    if timeline.jumps:
        damage.append(f"timestamps jumped {timeline.jumps} times and were not followed")
    claimed_s = media.exact_s if len(media.container.streams) == 1 else None
    if claimed_s is not None and decoded_s < claimed_s - MISSING_S:
        damage.append(f"it ends after {decoded_s:.1f} s where its header says {claimed_s:.1f} s")
    if damage:
        logger.warning("audio is damaged: {}; going on with what there is", ", ".join(damage))
