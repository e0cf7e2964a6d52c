"""Restricted use of FFmpeg: which containers and codecs it may read, and the translation of its errors.

How much an MP4 makes FFmpeg allocate is checked first (`mp4_boxes`) if the source can seek. A source that cannot seek
cannot be read ahead: 20 KB of it may cost 2.9 GB and 9 s. `sandbox` bounds that, and everything unforeseen.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from steno.audio.chunks import check_chunks
from steno.audio.mp4_boxes import check_boxes
from steno.audio.resample import MAX_RATE, MIN_RATE
from steno.audio.signatures import FLV, starts_like_media
from steno.audio.source import GuardedReader, MediaSource
from steno.errors import AudioError, AudioTrackNotFoundError, EmptyAudioError, NotAudioError, UndecodableAudioError
from steno.languages import code_of

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, Packet
    from av.container import InputContainer

FORMATS = "aac,ac3,aiff,amr,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,nistsphere,ogg,w64,wav,wv"
"""Allowed FFmpeg demuxers. Each reads one file and nothing else, unlike `hls`, `dash`, `concat`, `sdp`, …"""

EXACT_LENGTH = ("caf", "flac", "matroska", "mov", "ogg", "w64", "wav")
"""Demuxers whose duration comes from the container, not from an estimate by bit rate."""

CODECS = (
    "aac,aac_latm,ac3,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_swf,adpcm_yamaha,alac,amrnb,"
    "amrwb,dca,eac3,flac,g722,g726,gsm,gsm_ms,libopus,mlp,mp1,mp1float,mp2,mp2float,mp3,"
    "mp3float,nellymoser,opus,pcm_alaw,pcm_bluray,pcm_dvd,pcm_f32be,pcm_f32le,pcm_f64be,"
    "pcm_f64le,pcm_mulaw,pcm_s16be,pcm_s16be_planar,pcm_s16le,pcm_s16le_planar,pcm_s24be,"
    "pcm_s24le,pcm_s24le_planar,pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_s8,pcm_s8_planar,"
    "pcm_u16be,pcm_u16le,pcm_u24be,pcm_u24le,pcm_u32be,pcm_u32le,pcm_u8,speex,truehd,vorbis,"
    "wavpack,wmalossless,wmapro,wmav1,wmav2"
)
"""Allowed FFmpeg decoders. Pictures are never decoded."""

MAX_CHANNELS = 64

ACCEPTED = "Send WAV, FLAC, MP3, M4A/AAC, Ogg, WebM, or a video (MP4, Matroska) with an audio track."


@dataclass(frozen=True, slots=True)
class AcceptedFormats:
    """What `open_media` accepts, and wording for its errors."""

    demuxer: str | None = None
    """The only allowed demuxer; None = any of `FORMATS`, detected from the source's start."""
    codecs: str = CODECS
    max_tracks: int = 100
    options: Mapping[str, str] = field(default_factory=dict)
    """Further FFmpeg options."""
    noun: str = "file"
    advice: str = ACCEPTED


FILES = AcceptedFormats()


@dataclass(slots=True)
class Media:
    """An open file and one of its audio tracks."""

    container: InputContainer
    stream: AudioStream
    reader: GuardedReader
    damaged_packets: int = 0
    """Number of packets that could not be decoded."""
    broke_off: bool = False
    """Whether the demuxer failed before the end."""

    @property
    def format(self) -> str:
        """`mp4`, `matroska`, `wav`, …"""
        name = self.container.format.name.split(",")[0]
        return "mp4" if name == "mov" else name

    @property
    def start_s(self) -> float | None:
        """Start of its earliest track, by its own timestamps."""
        start = self.container.start_time
        return None if start is None else start / 1e6

    @property
    def claimed_s(self) -> float | None:
        """The track's duration as stated by the file. (Matroska and Ogg state the time of its end.)"""
        if self.stream.duration is not None and self.stream.time_base is not None:
            duration_s = float(self.stream.duration * self.stream.time_base)
        else:
            duration_s = (self.container.duration or 0) / 1e6
        start_s = self.start_s or 0.0
        if self.format in ("matroska", "ogg") and 0 < start_s < duration_s:
            duration_s -= start_s
        return duration_s if duration_s > 0 else None

    @property
    def exact_s(self) -> float | None:
        """`claimed_s` if it is not an estimate (FFmpeg checks WAV's against the file size, if it can seek)."""
        exact = self.reader.seekable() and self.container.format.name.split(",")[0] in EXACT_LENGTH
        return self.claimed_s if exact else None

    def packets_s(self) -> float:
        """The track's length by its packets, which are read and not decoded: `frames` has nothing left to give."""
        base = float(self.stream.time_base or 0)
        return sum(float(packet.duration or 0) * base for packet in self._packets())

    def frames(self) -> Iterator[AudioFrame]:
        """Decoded frames. Damaged packets are counted and skipped; if the file is truncated, iteration ends."""
        from av import FFmpegError

        for packet in self._packets():
            try:
                frames = packet.decode()
            except FFmpegError:
                self.damaged_packets += 1
                continue
            yield from frames

    def _packets(self) -> Iterator[Packet[AudioStream]]:
        from av import FFmpegError

        packets = self.container.demux(self.stream)
        while True:
            self.reader.check()
            try:
                packet = next(packets, None)
            except IndexError:
                # At the end PyAV also flushes tracks that appeared after opening (MPEG-TS), but looks them up in a
                # list made before. This track comes first, so it has been flushed by then.
                packet = None
            except FFmpegError:
                self.damaged_packets += 1
                self.broke_off = True
                packet = None
            self.reader.check()
            if packet is None:
                return
            yield packet


@contextmanager
def open_media(
    source: MediaSource,
    cancelled: threading.Event | None,
    accepted: AcceptedFormats = FILES,
    *,
    track: str | None = None,
) -> Iterator[Media]:
    """Open `source` as audio.

    Args:
        track: an audio track by its number, from 1, or by its language (code or name). None: of the tracks that can be
            decoded the one that the file marks as default, else the first.

    Raises `NotAudioError`, `UndecodableAudioError`, `EmptyAudioError`, `AudioTrackNotFoundError`, `DecodeCancelled`,
    and what `source` raises.
    """
    import av

    reader = GuardedReader(source, cancelled)
    reader.check()
    if reader.seekable():
        check_boxes(reader)
        check_chunks(reader)
        reader.check()
    options = {
        "format_whitelist": accepted.demuxer or FORMATS,
        "codec_whitelist": accepted.codecs,
        "protocol_whitelist": "none",
        "max_streams": str(accepted.max_tracks),
        **accepted.options,
    }
    if reader.head.startswith(FLV):
        options["fflags"] = "+ignidx"  # otherwise 9 KB can cost 2 GB for a table of key frames
    try:
        container = av.open(
            reader,
            "r",
            format=accepted.demuxer,
            container_options=options,
            metadata_errors="replace",
            io_open=_refuse_to_open,
        )
    except (av.FFmpegError, _OtherFileError) as error:
        reader.check()
        raise _unreadable(reader.head, accepted) from error
    with container:
        reader.check()
        yield Media(container, _audio_track(container, accepted, track), reader)


class _OtherFileError(Exception):
    """The file refers to another file."""


def _refuse_to_open(_url: str, _flags: int, _options: dict[str, Any]) -> NoReturn:
    """Replaces `open` for FFmpeg: a second safeguard if a demuxer tries to open another file."""
    raise _OtherFileError


def _unreadable(head: bytes, accepted: AcceptedFormats) -> AudioError:
    if not head:
        return EmptyAudioError(f"The {accepted.noun} is empty.")
    if starts_like_media(head):
        return UndecodableAudioError(
            f"The {accepted.noun} starts like audio, but is damaged or incomplete: its header cannot be read."
        )
    return NotAudioError(f"This is not an audio {accepted.noun} in a supported format. {accepted.advice}")


def _audio_track(container: InputContainer, accepted: AcceptedFormats, track: str | None) -> AudioStream:
    tracks = container.streams.audio
    if not tracks:
        raise NotAudioError(f"The {accepted.noun} has no audio track. {accepted.advice}")
    candidates = tracks if track is None else _named(tracks, track)
    readable = [stream for stream in candidates if _is_readable(stream, accepted)]
    if not readable:
        raise UndecodableAudioError(f"The codec of the audio track is not supported. {accepted.advice}")
    stream = next((stream for stream in readable if _is_default(stream)), readable[0])
    context = stream.codec_context
    if context.sample_rate and context.layout.nb_channels:  # otherwise only the frames have it
        check_shape(context.sample_rate, context.layout.nb_channels)
    return stream


def _named(tracks: Sequence[AudioStream], track: str) -> list[AudioStream]:
    """Those of the number, or of the language."""
    if track.isascii() and track.isdecimal():
        found = list(tracks)[int(track) - 1 : int(track)] if int(track) else []
    else:
        code = code_of(track) or track.lower()
        found = [stream for stream in tracks if _language(stream) == code]
    if not found:
        there = ", ".join(
            f"{number} ({_language(stream) or 'no language'}{', default' if _is_default(stream) else ''})"
            for number, stream in enumerate(tracks, 1)
        )
        raise AudioTrackNotFoundError(f"There is no audio track {track!r}. The file has: {there}.", param="track")
    return found


def _language(stream: AudioStream) -> str | None:
    language = stream.metadata.get("language", "")
    return None if language in ("", "und") else code_of(language) or language.lower()


def _is_default(stream: AudioStream) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.default)


def _is_readable(stream: AudioStream, accepted: AcceptedFormats) -> bool:
    # PyAV leaves out the context where it knows no decoder; its type hints don't.
    context: Any = stream.codec_context
    return context is not None and context.codec.name in accepted.codecs.split(",")


def check_shape(sample_rate: int, channels: int) -> None:
    """Refuse implausible rates and channel counts before anything is allocated for them."""
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise UndecodableAudioError(
            f"The audio claims a sample rate of {sample_rate} Hz; supported are {MIN_RATE} to {MAX_RATE}."
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise UndecodableAudioError(f"The audio claims {channels} channels; supported are 1 to {MAX_CHANNELS}.")
