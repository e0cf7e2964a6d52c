"""Options of a live stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict
from urllib.parse import urlencode

from steno.errors import InvalidRequestError
from steno.types import BYTES_PER_SAMPLE

LiveEncoding: TypeAlias = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw", "webm", "ogg", "mp4"]
CONTAINERS = ("webm", "ogg", "mp4")
MAX_QUERY_CONTEXT = 4000
"""Max bytes of context in the URL; servers and proxies support URLs of 8 KiB."""


class StreamArguments(TypedDict, total=False):
    """Keyword arguments of `stream`. Their defaults are those of `StreamOptions`."""

    encoding: LiveEncoding
    sample_rate: int
    language: str | None
    words: bool
    diarize: bool
    num_speakers: int | None
    max_speakers: int | None
    speaker_updates: bool
    translate_to: str | None
    captions: Literal["srt", "vtt"] | None
    prompt: str
    hotwords: Sequence[str]
    silence_ms: float | None
    turn_detection: Literal["silence", "smart"] | None
    max_silence_ms: float | None
    use_server_vad: bool
    offset_s: float
    reconnect_s: float
    fallback_urls: Sequence[str]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Options of one stream. None = the server's default. Raises `InvalidRequestError` for invalid values."""

    encoding: LiveEncoding = "pcm_s16le"
    """Raw mono audio, or a container as browsers record it."""
    sample_rate: int = 16_000
    """Hz, of raw audio. Ignored for containers, which declare their own."""
    language: str | None = None
    """Code (`en`) or name (`English`) of the spoken language; None = detect."""
    words: bool = False
    """Whether finals include word times."""
    diarize: bool = False
    """Whether finals and their words have a `speaker`: A, B, … in the order in which they first speak. After a lost
    connection speakers get new labels, because the server has forgotten their voices."""
    num_speakers: int | None = None
    """With `diarize`: how many speakers there are."""
    max_speakers: int | None = None
    """With `diarize`: how many there are at most."""
    speaker_updates: bool = False
    """With `diarize`: whether labels that turn out to be others are sent as `SpeakersChanged`. Finals never change."""
    translate_to: str | None = None
    """Target language: finals include a translation, if the server has an LLM."""
    captions: Literal["srt", "vtt"] | None = None
    """Subtitle format: finals include the next cues of such a file."""
    prompt: str = ""
    """Context for recognition. Ignored if the backend does not support it."""
    hotwords: Sequence[str] = ()
    """Terms to recognise."""
    silence_ms: float | None = None
    """Silence that ends a segment."""
    turn_detection: Literal["silence", "smart"] | None = None
    """What ends a segment: silence, or (`smart`) a judgement of pauses: what is complete ends at once."""
    max_silence_ms: float | None = None
    """With `smart`: silence that ends a segment which is not complete."""
    use_server_vad: bool = True
    """Whether silence ends a segment. If not, only the max segment length does."""
    offset_s: float = 0.0
    """Time of the stream's first sample, added to all times."""
    reconnect_s: float = 30.0
    """Max seconds of retries after a lost connection, or while the server is full; 0 = no retries."""
    fallback_urls: Sequence[str] = ()
    """URLs of further servers, which have the same API key. Each retry uses the next one, and waits only after all."""

    def __post_init__(self) -> None:
        known = (*BYTES_PER_SAMPLE, *CONTAINERS)
        if self.encoding not in known:
            raise InvalidRequestError(f"encoding must be one of {', '.join(known)}", param="encoding")
        if self.sample_rate <= 0:
            raise InvalidRequestError(f"sample_rate must be above 0, got {self.sample_rate}", param="sample_rate")
        if self.offset_s < 0:
            raise InvalidRequestError(f"offset_s must be 0 or more, got {self.offset_s}", param="offset_s")
        if isinstance(self.hotwords, str):
            raise InvalidRequestError("invalid hotwords; expected a list of words", param="hotwords")
        if isinstance(self.fallback_urls, str):
            raise InvalidRequestError("invalid fallback_urls; expected a list of URLs", param="fallback_urls")

    @property
    def bytes_per_sample(self) -> int | None:
        """None for containers, whose bytes do not map to times, and which cannot be resumed."""
        return BYTES_PER_SAMPLE.get(self.encoding)

    def query(self, offset_s: float, first_cue: int) -> str:
        """The URL's query: options that differ from the server's defaults, without those in `first_message`."""
        parameters: dict[str, object] = {
            "encoding": self.encoding,
            "sample_rate": self.sample_rate,
            "language": self.language,
            "words": "true" if self.words else None,
            "diarize": "true" if self.diarize else None,
            "num_speakers": self.num_speakers,
            "max_speakers": self.max_speakers,
            "speaker_updates": "true" if self.speaker_updates else None,
            "translate_to": self.translate_to,
            "captions": self.captions,
            **({} if self.first_message else self._context),
            "silence_ms": self.silence_ms,
            "turn_detection": self.turn_detection,
            "max_silence_ms": self.max_silence_ms,
            "use_server_vad": None if self.use_server_vad else "false",
            "offset_s": offset_s or None,
            "first_cue": first_cue if self.captions and first_cue > 1 else None,
        }
        return urlencode({name: value for name, value in parameters.items() if value not in (None, "")})

    @property
    def first_message(self) -> Mapping[str, str] | None:
        """The message to send after connecting, with context that is too long for the URL; None if there is none."""
        if len(urlencode(self._context)) <= MAX_QUERY_CONTEXT:
            return None
        return {"action": "config", **{name: text for name, text in self._context.items() if text}}

    @property
    def _context(self) -> Mapping[str, str]:
        return {"prompt": self.prompt, "hotwords": ",".join(self.hotwords)}
