"""OpenAI Realtime's `session` object: its updates, and its form in responses.

A key that is left out keeps its value, null switches off. Some keys are taken and do nothing, because they ask for what
a transcription has no use for: `noise_reduction` (echoed: recognition here is made for noisy audio), `create_response`,
`interrupt_response`, `idle_timeout_ms`, `delay`, `modalities`. Any other unknown key is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from steno.errors import InvalidRequestError
from steno.pipelines.live.live_options import MIN_SILENCE_MS, LiveEncoding, LiveOptions, ignored
from steno.pipelines.live.turn_options import EAGERNESS, Eagerness
from steno.server.live.dialects.base import Message, ServerFacts
from steno.server.live.dialects.openai_messages import InvalidValueError, UnknownParameterError

PCM_RATE = 24_000
LOGPROBS = "item.input_audio_transcription.logprobs"
FORMATS: Mapping[str, tuple[LiveEncoding, int]] = {
    "audio/pcm": ("pcm_s16le", PCM_RATE),
    "audio/pcmu": ("mulaw", 8_000),
    "audio/pcma": ("alaw", 8_000),
}
BETA_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
BYTES = {"pcm_s16le": 2, "mulaw": 1, "alaw": 1}
"""Bytes per sample."""
INPUT = "session.audio.input"
BETA_PARTS = {
    "input_audio_format": "format",
    "input_audio_noise_reduction": "noise_reduction",
    "input_audio_transcription": "transcription",
    "turn_detection": "turn_detection",
    "include": "include",
}
NO_EFFECT = ("modalities", "client_secret")
LIVE_MODELS = ("gpt-live-transcribe", "gpt-realtime-whisper")
"""Models whose text is sent while a turn is open, even if only the client ends it; others wait for the commit."""
DIARIZE_MODELS = ("gpt-4o-transcribe-diarize",)
"""Models that tell the speakers apart, in `segment` events."""
LEAST_THRESHOLD, MOST_THRESHOLD = 0.01, 0.99


@dataclass(frozen=True, slots=True)
class RealtimeSettings:
    """Settings of one session."""

    options: LiveOptions
    model: str
    """The client's name of the model."""
    noise_reduction: Message | None = None
    logprobs: bool = False
    eagerness: Eagerness = "auto"
    """Of `semantic_vad`."""
    ignored: tuple[str, ...] = ()
    """Paths of the newest update's hints that the recogniser does not use."""

    @property
    def is_live(self) -> bool:
        return self.model.startswith(LIVE_MODELS)

    @property
    def bytes_per_s(self) -> int:
        return self.options.sample_rate * BYTES[self.options.encoding]


def default(model: str) -> RealtimeSettings:
    options = LiveOptions(encoding="pcm_s16le", sample_rate=PCM_RATE)
    return RealtimeSettings(_for_model(options, model, logprobs=False), model)


def changed(settings: RealtimeSettings, session: object, opening: ServerFacts) -> RealtimeSettings:
    """The settings with the changes of an update.

    Raises:
        InvalidRequestError: a value is invalid, unknown or not supported; `param` is its path.
    """
    paths = {}
    for name, value, path in _parts(_object(session, "session")):
        settings = READERS[name](settings, value, path, opening)
        paths[name] = path
    try:
        options = opening.check(settings.options)
        hints = (CHECKED[name] for name in ignored(settings.options, options))
        unused = tuple(f"{paths.get(part, f'{INPUT}.{part}')}.{name}" for part, name in hints)
        return replace(settings, options=options, ignored=unused)
    except InvalidRequestError as error:
        raise _on_the_wire(error, paths) from None


def described(settings: RealtimeSettings, session_id: str, *, is_beta: bool) -> Message:
    """The object in responses. Without `rate` unless it is 24,000: clients accept no other."""
    options = settings.options
    kind = next(kind for kind, (encoding, _) in FORMATS.items() if encoding == options.encoding)
    rate = {"rate": PCM_RATE} if kind == "audio/pcm" and options.sample_rate == PCM_RATE else {}
    transcription: Message = {"model": settings.model, "language": options.language, "prompt": options.prompt or None}
    if options.hotwords:
        transcription["keywords"] = list(options.hotwords)
    include = [LOGPROBS] if settings.logprobs else None
    head = {"id": f"sess_{session_id}", "object": "realtime.transcription_session"}
    if is_beta:
        return {
            **head,
            "input_audio_format": next(name for name, same in BETA_FORMATS.items() if same == kind),
            "input_audio_noise_reduction": settings.noise_reduction,
            "input_audio_transcription": transcription,
            "turn_detection": _turn_detection_of(settings),
            "include": include,
        }
    heard = {
        "format": {"type": kind, **rate},
        "noise_reduction": settings.noise_reduction,
        "transcription": transcription,
        "turn_detection": _turn_detection_of(settings),
    }
    return {**head, "type": "transcription", "audio": {"input": heard}, "include": include}


def _on_the_wire(error: InvalidRequestError, paths: Mapping[str, str]) -> InvalidRequestError:
    """Like `invalid`, with the client's name of the option."""
    if error.param is None or error.param not in CHECKED:
        return error
    part, name = CHECKED[error.param]
    path = f"{paths.get(part, f'{INPUT}.{part}')}.{name}"
    return type(error)(error.message.replace(error.param, name), param=path)


def _turn_detection_of(settings: RealtimeSettings) -> Message | None:
    """The turn detection in responses. Numbers that the client has not set are omitted."""
    options = settings.options
    if not options.endpointing:
        return None
    if options.turn_detection == "smart":
        return {"type": "semantic_vad", "eagerness": settings.eagerness}
    numbers = {
        "threshold": options.threshold,
        "prefix_padding_ms": None if options.pre_roll_ms is None else round(options.pre_roll_ms),
        "silence_duration_ms": None if options.silence_ms is None else round(options.silence_ms),
    }
    return {"type": "server_vad", **{name: value for name, value in numbers.items() if value is not None}}


def _parts(session: Mapping[str, Any]) -> Sequence[tuple[str, object, str]]:
    """The requested options by their names in `READERS`, with their paths; in the current or the beta form."""
    parts: list[tuple[str, object, str]] = []
    for key, value in session.items():
        if key == "type":
            _one_of(value, ("transcription",), "session.type")
        elif key == "audio":
            parts += _parts_of_input(value)
        elif key in BETA_PARTS:
            parts.append((BETA_PARTS[key], value, f"session.{key}"))
        elif key not in NO_EFFECT:
            raise _unknown(f"session.{key}")
    return parts


def _parts_of_input(audio: object) -> list[tuple[str, object, str]]:
    audio = _object(audio, "session.audio", known=("input",))
    known = ("format", "noise_reduction", "transcription", "turn_detection")
    heard = _object(audio.get("input", {}), INPUT, known=known)
    return [(key, value, f"{INPUT}.{key}") for key, value in heard.items()]


def _format(settings: RealtimeSettings, value: object, path: str, _: ServerFacts) -> RealtimeSettings:
    if isinstance(value, str):
        kind, rate = BETA_FORMATS[_one_of(value, tuple(BETA_FORMATS), path)], None
    else:
        asked = _object({} if value is None else value, path, known=("type", "rate"))
        kind = _one_of(asked.get("type", "audio/pcm"), tuple(FORMATS), f"{path}.type")
        rate = asked.get("rate")
    encoding, usual = FORMATS[kind]
    hz = usual if rate is None else round(_number(rate, f"{path}.rate"))
    if kind != "audio/pcm" and hz != usual:
        raise InvalidValueError(f"{kind} has {usual} samples a second, not {hz}", param=f"{path}.rate")
    return replace(settings, options=replace(settings.options, encoding=encoding, sample_rate=hz))


def _noise_reduction(settings: RealtimeSettings, value: object, path: str, _: ServerFacts) -> RealtimeSettings:
    if value is None:
        return replace(settings, noise_reduction=None)
    asked = _object(value, path, known=("type", "strength"))
    if asked.get("type") is not None:
        _one_of(asked["type"], ("near_field", "far_field"), f"{path}.type")
    if asked.get("strength") is not None:
        _number(asked["strength"], f"{path}.strength")
    return replace(settings, noise_reduction={**(settings.noise_reduction or {}), **asked})


def _transcription(settings: RealtimeSettings, value: object, path: str, opening: ServerFacts) -> RealtimeSettings:
    if value is None:
        raise InvalidValueError("this server does nothing but transcribe: it cannot be switched off", param=path)
    known = ("model", "language", "languages", "prompt", "keywords", "delay")
    asked = _object(value, path, known=known)
    changes: dict[str, Any] = {}
    if "languages" in asked:
        languages = _strings(asked["languages"], f"{path}.languages")
        changes["language"] = languages[0] if len(languages) == 1 else None
    if "language" in asked:
        changes["language"] = _string(asked["language"], f"{path}.language") or None
    if "prompt" in asked:
        changes["prompt"] = _string(asked["prompt"], f"{path}.prompt")
    if "keywords" in asked:
        changes["hotwords"] = tuple(_strings(asked["keywords"], f"{path}.keywords"))
    model = _string(asked.get("model"), f"{path}.model")
    if model:
        try:
            opening.check_model(model)
        except InvalidRequestError as error:
            raise type(error)(error.message, param=f"{path}.model") from None
    options = replace(settings.options, **changes)
    if model:
        options = _for_model(options, model, logprobs=settings.logprobs)
    return replace(settings, model=model or settings.model, options=options)


def _for_model(options: LiveOptions, model: str, *, logprobs: bool) -> LiveOptions:
    """The options with the speakers that the model's name asks for, which are those of words."""
    diarize = model.startswith(DIARIZE_MODELS)
    return replace(options, diarize=diarize, words=diarize or logprobs)


def _turn_detection(settings: RealtimeSettings, value: object, path: str, _: ServerFacts) -> RealtimeSettings:
    if value is None:
        return replace(settings, options=replace(settings.options, endpointing=False))
    known = ("threshold", "prefix_padding_ms", "silence_duration_ms")
    useless = ("create_response", "interrupt_response", "idle_timeout_ms")
    asked = _object(value, path, known=("type", "eagerness", *known, *useless))
    kind = _one_of(asked.get("type", "server_vad"), ("server_vad", "semantic_vad", "none"), f"{path}.type")
    changes: dict[str, Any] = {"endpointing": kind != "none"}
    if kind == "semantic_vad":
        return _semantic_vad(settings, asked.get("eagerness"), path)
    if kind == "server_vad":
        changes["turn_detection"] = "silence"
    numbers = {name: _number_or_none(asked[name], f"{path}.{name}") for name in known if name in asked}
    threshold = numbers.get("threshold")
    if threshold is not None and not 0 <= threshold <= 1:
        raise InvalidValueError(f"threshold must be 0 to 1, got {threshold:g}", param=f"{path}.threshold")
    if "threshold" in numbers:
        clamped = None if threshold is None else min(max(threshold, LEAST_THRESHOLD), MOST_THRESHOLD)
        changes["threshold"] = clamped
    if "prefix_padding_ms" in numbers:
        changes["pre_roll_ms"] = numbers["prefix_padding_ms"]
    if "silence_duration_ms" in numbers:
        silence_ms = numbers["silence_duration_ms"]
        changes["silence_ms"] = silence_ms if silence_ms is None or silence_ms < 0 else max(silence_ms, MIN_SILENCE_MS)
    return replace(settings, options=replace(settings.options, **changes))


def _semantic_vad(settings: RealtimeSettings, eagerness: object, path: str) -> RealtimeSettings:
    """With the server's own numbers for speech, and those of `eagerness` for turns."""
    chosen = cast("Eagerness", _one_of("auto" if eagerness is None else eagerness, (*EAGERNESS,), f"{path}.eagerness"))
    turns = EAGERNESS[chosen]
    options = replace(
        settings.options,
        endpointing=True,
        threshold=None,
        pre_roll_ms=None,
        silence_ms=None,
        turn_detection=turns.detection,
        turn_threshold=turns.threshold,
        max_silence_ms=turns.max_silence_ms,
    )
    return replace(settings, options=options, eagerness=chosen)


def _include(settings: RealtimeSettings, value: object, path: str, _: ServerFacts) -> RealtimeSettings:
    wanted = [] if value is None else _strings(value, path)
    for name in wanted:
        _one_of(name, (LOGPROBS,), path)
    words = bool(wanted) or settings.options.diarize
    return replace(settings, logprobs=bool(wanted), options=replace(settings.options, words=words))


def _object(value: object, path: str, *, known: Sequence[str] | None = None) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidValueError(f"{path} must be an object", param=path)
    for key in value:
        if known is not None and key not in known:
            raise _unknown(f"{path}.{key}")
    return value


def _one_of(value: object, allowed: Sequence[str], path: str) -> str:
    if not isinstance(value, str) or value not in allowed:
        text = f"{path} must be {' or '.join(map(repr, allowed))}, got {str(value)[:50]!r}"
        raise InvalidValueError(text, param=path)
    return value


def _string(value: object, path: str) -> str:
    """Empty for null."""
    if not isinstance(value, str | None):
        raise InvalidValueError(f"{path} must be a string", param=path)
    return value or ""


def _strings(value: object, path: str) -> list[str]:
    """None for null."""
    if not isinstance(value, list | None) or not all(isinstance(entry, str) for entry in value or ()):
        raise InvalidValueError(f"{path} must be a list of strings", param=path)
    return value or []


def _number(value: object, path: str) -> float:
    number = float(value) if isinstance(value, int | float) and abs(value) < 1e9 else math.nan
    if isinstance(value, bool) or math.isnan(number):
        raise InvalidValueError(f"{path} must be a number, got {str(value)[:50]!r}", param=path)
    return number


def _number_or_none(value: object, path: str) -> float | None:
    return None if value is None else _number(value, path)


def _unknown(path: str) -> UnknownParameterError:
    return UnknownParameterError(f"unknown parameter {path[:100]!r}", param=path[:100])


READERS: Mapping[str, Callable[[RealtimeSettings, object, str, ServerFacts], RealtimeSettings]] = {
    "format": _format,
    "noise_reduction": _noise_reduction,
    "transcription": _transcription,
    "turn_detection": _turn_detection,
    "include": _include,
}
CHECKED: Mapping[str, tuple[str, str]] = {
    "sample_rate": ("format", "rate"),
    "language": ("transcription", "language"),
    "prompt": ("transcription", "prompt"),
    "hotwords": ("transcription", "keywords"),
    "threshold": ("turn_detection", "threshold"),
    "silence_ms": ("turn_detection", "silence_duration_ms"),
    "pre_roll_ms": ("turn_detection", "prefix_padding_ms"),
}
"""By name of our option: its path and its name on the wire."""
