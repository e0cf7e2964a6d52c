"""What a live stream can be asked for."""

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
"""Bytes; servers and proxies take addresses of 8 KiB."""


class StreamArguments(TypedDict, total=False):
    """The keywords of `stream`; those that are not given are as in `StreamOptions`."""

    encoding: LiveEncoding
    sample_rate: int
    language: str | None
    words: bool
    translate_to: str | None
    captions: Literal["srt", "vtt"] | None
    prompt: str
    hotwords: Sequence[str]
    silence_ms: float | None
    use_server_vad: bool
    offset_s: float
    reconnect_s: float


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Of one stream. None = as the server has it. Raises `InvalidRequestError` for what makes no sense anywhere."""

    encoding: LiveEncoding = "pcm_s16le"
    """Raw mono audio, or a container as a browser records it."""
    sample_rate: int = 16_000
    """Of raw audio, Hz; containers say for themselves."""
    language: str | None = None
    """Code (`en`) or name (`English`) of what is spoken; None = the server finds out."""
    words: bool = False
    """Whether finals come with their words' times."""
    translate_to: str | None = None
    """Finals come with a translation, where the server has an LLM."""
    captions: Literal["srt", "vtt"] | None = None
    """Finals come with the next cues of such a file."""
    prompt: str = ""
    """What it is about; a backend that takes no hints goes without."""
    hotwords: Sequence[str] = ()
    """Words that will come up."""
    silence_ms: float | None = None
    """Silence that ends a segment."""
    use_server_vad: bool = True
    """Whether silence ends a segment at all; if not, only its greatest length does."""
    offset_s: float = 0.0
    """What the stream's clock shows at its first sample."""
    reconnect_s: float = 30.0
    """How long a lost connection, or a place at a server that is full, is tried for; 0 = not at all."""

    def __post_init__(self) -> None:
        known = (*BYTES_PER_SAMPLE, *CONTAINERS)
        if self.encoding not in known:
            raise InvalidRequestError(f"encoding must be one of {', '.join(known)}", param="encoding")
        if self.sample_rate <= 0:
            raise InvalidRequestError(f"sample_rate must be above 0, got {self.sample_rate}", param="sample_rate")
        if self.offset_s < 0:
            raise InvalidRequestError(f"offset_s must be 0 or more, got {self.offset_s}", param="offset_s")
        if isinstance(self.hotwords, str):
            raise InvalidRequestError("hotwords are several words: a list, not one text", param="hotwords")

    @property
    def bytes_per_sample(self) -> int | None:
        """None: a container, in which a second has any number of bytes, and which cannot be entered in the middle."""
        return BYTES_PER_SAMPLE.get(self.encoding)

    def query(self, offset_s: float, first_cue: int) -> str:
        """For the URL: what differs from the server's own defaults, without what `first_message` says."""
        asked: dict[str, object] = {
            "encoding": self.encoding,
            "sample_rate": self.sample_rate,
            "language": self.language,
            "words": "true" if self.words else None,
            "translate_to": self.translate_to,
            "captions": self.captions,
            **({} if self.first_message else self._context),
            "silence_ms": self.silence_ms,
            "use_server_vad": None if self.use_server_vad else "false",
            "offset_s": offset_s or None,
            "first_cue": first_cue if self.captions and first_cue > 1 else None,
        }
        return urlencode({name: value for name, value in asked.items() if value not in (None, "")})

    @property
    def first_message(self) -> Mapping[str, str] | None:
        """To be sent once connected: context that is too long for an address. None: there is none."""
        if len(urlencode(self._context)) <= MAX_QUERY_CONTEXT:
            return None
        return {"action": "config", **{name: text for name, text in self._context.items() if text}}

    @property
    def _context(self) -> Mapping[str, str]:
        return {"prompt": self.prompt, "hotwords": ",".join(self.hotwords)}
