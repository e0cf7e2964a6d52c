"""Options of a live stream, and their validation."""

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
    UnsupportedSampleRateError,
)
from steno.pipelines.live.turn_options import TURN_DETECTIONS, TurnDetection
from steno.pipelines.recording_speakers import MAX_SPEAKERS
from steno.pipelines.request_checks import check_language, check_target

LiveEncoding: TypeAlias = Encoding | Container
LIVE_ENCODINGS: tuple[LiveEncoding, ...] = (*ENCODINGS, *CONTAINERS)

MIN_RATE, MAX_RATE = 8_000, 48_000
MIN_SILENCE_MS, MAX_SILENCE_MS = 100, 60_000
MAX_PROMPT = 4_000
MAX_OFFSET_S = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Options of one stream. None = the server's default."""

    encoding: LiveEncoding = "pcm_s16le"
    sample_rate: int = 16_000
    """Hz, of raw audio. Ignored for containers, which declare their own."""
    language: str | None = None
    prompt: str = ""
    """Context for recognition. Ignored if the backend does not support it."""
    hotwords: tuple[str, ...] = ()
    """Terms to recognise. Ignored if the backend does not support context."""
    words: bool = False
    endpointing: bool = True
    """Whether silence ends a segment. If not, only a flush or the max segment length ends it."""
    silence_ms: float | None = None
    turn_detection: TurnDetection | None = None
    """What ends a segment, if `endpointing`: silence alone, or a judgement of pauses."""
    max_silence_ms: float | None = None
    """With `smart`: an incomplete utterance ends after this."""
    turn_threshold: float | None = None
    """With `smart`: probability from which an utterance is complete."""
    threshold: float | None = None
    """Probability above which a frame is speech."""
    pre_roll_ms: float | None = None
    translate_to: str | None = None
    captions: RunningFormat | None = None
    diarize: bool = False
    """Whether finals and their words have a speaker."""
    num_speakers: int | None = None
    """With `diarize`: how many speakers there are; no more are told apart, and after a while no fewer."""
    max_speakers: int | None = None
    """With `diarize`: how many there are at most."""
    speaker_updates: bool = False
    """With `diarize`: whether labels that turn out to be others are sent as `SpeakersChanged`."""
    first_cue: int = 1
    """Number of the first cue. Above 1, the caption file continues an earlier one."""
    offset_s: float = 0.0
    """Time of the stream's first sample, added to all times."""

    @property
    def context(self) -> str:
        return ", ".join(part for part in (self.prompt, ", ".join(self.hotwords)) if part)


def check(options: LiveOptions, capabilities: Capabilities, backend: str, *, can_translate: bool) -> LiveOptions:
    """Validate and normalise the options.

    Raises:
        InvalidRequestError: an option is invalid or not supported; `param` names it.
        TranslationNotConfiguredError: a translation is requested, and no LLM is configured.
    """
    _check_audio(options)
    _check_numbers(options)
    _check_speakers(options)
    if options.captions is not None and options.captions not in RUNNING_FORMATS:
        raise InvalidRequestError(f"captions must be one of {', '.join(RUNNING_FORMATS)}", param="captions")
    if options.turn_detection not in (None, *TURN_DETECTIONS):
        raise InvalidRequestError(f"turn_detection must be one of {', '.join(TURN_DETECTIONS)}", param="turn_detection")
    if len(options.context) > MAX_PROMPT:
        raise InvalidRequestError(
            f"prompt and hot words are too long; the maximum is {MAX_PROMPT} characters", param="prompt"
        )
    if options.translate_to and not can_translate:
        text = "no LLM is configured for translation (OPENAI_BASE_URL and TRANSLATE_MODEL)"
        raise TranslationNotConfiguredError(text, param="translate_to")
    return replace(
        options,
        language=check_language(options.language, capabilities, backend),
        prompt=options.prompt if capabilities.context else "",
        hotwords=options.hotwords if capabilities.context else (),
        translate_to=check_target(options.translate_to) if options.translate_to else None,
    )


def ignored(wished: LiveOptions, checked: LiveOptions) -> list[str]:
    """The hints that were left out by `check`."""
    return [name for name in ("prompt", "hotwords") if getattr(wished, name) and not getattr(checked, name)]


def _check_audio(options: LiveOptions) -> None:
    if options.encoding not in LIVE_ENCODINGS:
        raise InvalidRequestError(f"encoding must be one of {', '.join(LIVE_ENCODINGS)}", param="encoding")
    if not MIN_RATE <= options.sample_rate <= MAX_RATE:
        text = f"sample_rate must be {MIN_RATE} to {MAX_RATE} Hz, got {options.sample_rate}"
        raise UnsupportedSampleRateError(text, param="sample_rate")


def _check_speakers(options: LiveOptions) -> None:
    for name in ("num_speakers", "max_speakers", "speaker_updates"):
        if getattr(options, name) and not options.diarize:
            raise InvalidRequestError(f"{name} needs diarize=true", param=name)
    if options.num_speakers is not None and options.max_speakers is not None:
        raise InvalidRequestError("num_speakers excludes max_speakers", param="max_speakers")


def _check_numbers(options: LiveOptions) -> None:
    ranges: dict[str, tuple[float | None, float, float]] = {
        "silence_ms": (options.silence_ms, MIN_SILENCE_MS, MAX_SILENCE_MS),
        "max_silence_ms": (options.max_silence_ms, MIN_SILENCE_MS, MAX_SILENCE_MS),
        "threshold": (options.threshold, 0.01, 0.99),
        "turn_threshold": (options.turn_threshold, 0.01, 1.0),
        "pre_roll_ms": (options.pre_roll_ms, 0, 5_000),
        "offset_s": (options.offset_s, 0, MAX_OFFSET_S),
        "first_cue": (options.first_cue, 1, 10**9),
        "num_speakers": (options.num_speakers, 1, MAX_SPEAKERS),
        "max_speakers": (options.max_speakers, 1, MAX_SPEAKERS),
    }
    for name, (value, least, most) in ranges.items():
        if value is not None and not least <= value <= most:
            raise InvalidRequestError(f"{name} must be {least:g} to {most:g}, got {value:g}", param=name)
