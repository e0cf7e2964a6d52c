"""The native dialect's options: wire names and parsers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from steno.errors import InvalidRequestError
from steno.pipelines.live.live_options import LiveOptions


def changed(options: LiveOptions, asked: Mapping[str, Any]) -> LiveOptions:
    """`options` with the changes of a query or a message; values may be JSON values or text.

    Raises:
        InvalidRequestError: an option does not exist, or its value has the wrong type.
    """
    changes: dict[str, Any] = {}
    for name, value in asked.items():
        if name not in OPTIONS:
            raise InvalidRequestError(f"unknown option {name[:50]!r}; there are: {', '.join(OPTIONS)}", param=name[:50])
        attribute, read = OPTIONS[name]
        try:
            changes[attribute] = read(value)
        except (TypeError, ValueError, OverflowError):
            text = f"invalid value {str(value)[:50]!r} for {name}; expected {EXPECTED[read]}"
            raise InvalidRequestError(text, param=name) from None
    return replace(options, **changes)


def check_turns(asked: Mapping[str, Any], options: LiveOptions) -> None:
    """Refuse options of turn detection that have no effect. `options`: as they will be used.

    Raises:
        InvalidRequestError: one was asked for.
    """
    if asked.get("turn_detection") == "smart" and not options.endpointing:
        raise InvalidRequestError("turn_detection=smart needs use_server_vad=true", param="turn_detection")
    for name in ("turn_threshold", "max_silence_ms"):
        if name in asked and not options.endpointing:
            raise InvalidRequestError(f"{name} needs use_server_vad=true", param=name)
        if name in asked and options.turn_detection == "silence":
            raise InvalidRequestError(f"{name} needs turn_detection=smart", param=name)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _text_or_none(value: object) -> str | None:
    return None if value in (None, "") else _text(value)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "false": False, "0": False}[_text(value).lower()]


def _flag_checked(value: object) -> bool:
    try:
        return _flag(value)
    except KeyError:
        raise ValueError from None


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _whole(value: object) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError
    return int(number)


def _names(value: object) -> tuple[str, ...]:
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list):
        raise TypeError
    return tuple(name for name in (_text(name).strip() for name in listed) if name)


OPTIONS: Mapping[str, tuple[str, Callable[[object], Any]]] = {
    "sample_rate": ("sample_rate", _whole),
    "encoding": ("encoding", _text),
    "language": ("language", _text_or_none),
    "use_server_vad": ("endpointing", _flag_checked),
    "silence_ms": ("silence_ms", _number),
    "threshold": ("threshold", _number),
    "turn_detection": ("turn_detection", _text_or_none),
    "max_silence_ms": ("max_silence_ms", _number),
    "turn_threshold": ("turn_threshold", _number),
    "prompt": ("prompt", _text),
    "hotwords": ("hotwords", _names),
    "words": ("words", _flag_checked),
    "diarize": ("diarize", _flag_checked),
    "num_speakers": ("num_speakers", _whole),
    "max_speakers": ("max_speakers", _whole),
    "speaker_updates": ("speaker_updates", _flag_checked),
    "translate_to": ("translate_to", _text_or_none),
    "captions": ("captions", _text_or_none),
    "first_cue": ("first_cue", _whole),
    "offset_s": ("offset_s", _number),
}
"""By wire name: the attribute of `LiveOptions`, and the parser of its value."""
EXPECTED: Mapping[Callable[[object], Any], str] = {
    _flag_checked: "true or false",
    _names: "a list of texts, or texts with commas between them",
    _number: "a number",
    _text: "a text",
    _text_or_none: "a text",
    _whole: "a whole number",
}
