"""What a live client may ask for, and the check that it makes sense here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from steno.audio.intake import CONTAINERS, Container
from steno.audio.pcm import ENCODINGS, Encoding
from steno.backends.base import Capabilities
from steno.captions.incremental import RUNNING_FORMATS, RunningFormat
from steno.errors import (
    InvalidRequestError,
    TranslationNotConfiguredError,
    UnsupportedFeatureError,
    UnsupportedSampleRateError,
)
from steno.pipelines.request_checks import check_language, check_target

LiveEncoding: TypeAlias = Encoding | Container
LIVE_ENCODINGS: tuple[LiveEncoding, ...] = (*ENCODINGS, *CONTAINERS)

MIN_RATE, MAX_RATE = 8_000, 48_000
MIN_SILENCE_MS, MAX_SILENCE_MS = 100, 60_000
MAX_PROMPT = 4_000
MAX_OFFSET_S = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Of one stream. None = the server's own."""

    encoding: LiveEncoding = "pcm_s16le"
    sample_rate: int = 16_000
    """Of raw audio, Hz; containers say for themselves."""
    language: str | None = None
    prompt: str = ""
    """A hint: where the backend takes none it is left out."""
    hotwords: tuple[str, ...] = ()
    """Refused where the backend takes none."""
    words: bool = False
    endpointing: bool = True
    """Whether silence ends a segment; if not, only the client does (and the longest segment's length)."""
    silence_ms: float | None = None
    threshold: float | None = None
    """Probability above which a frame is speech."""
    pre_roll_ms: float | None = None
    translate_to: str | None = None
    captions: RunningFormat | None = None
    first_cue: int = 1
    """Number of the first cue; above 1 the file was begun before."""
    offset_s: float = 0.0
    """What the stream's clock shows at its first sample."""

    @property
    def context(self) -> str:
        return ", ".join(part for part in (self.prompt, ", ".join(self.hotwords)) if part)


def check(options: LiveOptions, capabilities: Capabilities, backend: str, *, can_translate: bool) -> LiveOptions:
    """The options as they will be used.

    Raises:
        InvalidRequestError: one of them is wrong, or not to be had here; `param` names it.
        TranslationNotConfiguredError: a translation, and no LLM.
    """
    _check_audio(options)
    _check_numbers(options)
    if options.captions is not None and options.captions not in RUNNING_FORMATS:
        raise InvalidRequestError(f"captions must be one of {', '.join(RUNNING_FORMATS)}", param="captions")
    if len(options.context) > MAX_PROMPT:
        raise InvalidRequestError(f"prompt and hot words take {MAX_PROMPT} characters at most", param="prompt")
    if options.hotwords and not capabilities.context:
        raise UnsupportedFeatureError(f"backend {backend!r} takes no hot words", param="hotwords")
    if options.translate_to and not can_translate:
        text = "this server has no LLM to translate with (OPENAI_BASE_URL and TRANSLATE_MODEL)"
        raise TranslationNotConfiguredError(text, param="translate_to")
    return replace(
        options,
        language=check_language(options.language, capabilities, backend),
        prompt=options.prompt if capabilities.context else "",
        translate_to=check_target(options.translate_to) if options.translate_to else None,
    )


def _check_audio(options: LiveOptions) -> None:
    if options.encoding not in LIVE_ENCODINGS:
        raise InvalidRequestError(f"encoding must be one of {', '.join(LIVE_ENCODINGS)}", param="encoding")
    if not MIN_RATE <= options.sample_rate <= MAX_RATE:
        text = f"sample_rate must be {MIN_RATE} to {MAX_RATE} Hz, got {options.sample_rate}"
        raise UnsupportedSampleRateError(text, param="sample_rate")


def _check_numbers(options: LiveOptions) -> None:
    ranges: dict[str, tuple[float | None, float, float]] = {
        "silence_ms": (options.silence_ms, MIN_SILENCE_MS, MAX_SILENCE_MS),
        "threshold": (options.threshold, 0.01, 0.99),
        "pre_roll_ms": (options.pre_roll_ms, 0, 5_000),
        "offset_s": (options.offset_s, 0, MAX_OFFSET_S),
        "first_cue": (options.first_cue, 1, 10**9),
    }
    for name, (value, least, most) in ranges.items():
        if value is not None and not least <= value <= most:
            raise InvalidRequestError(f"{name} must be {least:g} to {most:g}, got {value:g}", param=name)
