"""The query and the `Configure` message of Deepgram Flux (`/v2/listen`) as `LiveOptions` and thresholds.

https://developers.deepgram.com/reference/speech-to-text/listen-flux. Options that are not supported are refused by
name. Every Flux model is the served model; `flux-general-en` also fixes the language.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from steno.errors import InvalidRequestError
from steno.pipelines.live.live_options import LiveOptions
from steno.server.live.dialects.deepgram_options import audio_format, flag, gathered, lacking, terms

KNOWN = (
    "eager_eot_threshold",
    "encoding",
    "eot_threshold",
    "eot_timeout_ms",
    "keyterm",
    "language_hint",
    "mip_opt_out",
    "model",
    "sample_rate",
    "tag",  # book-keeping of the client's, as is `mip_opt_out`: here nothing is kept
)
LACKING = ("diarize", "diarize_model", "numerals", "profanity_filter", "redact")
REPEATED = ("keyterm", "language_hint", "tag", *LACKING)
RANGES: Mapping[str, tuple[float, float]] = {
    "eager_eot_threshold": (0.3, 0.9),
    "eot_threshold": (0.5, 1.0),
    "eot_timeout_ms": (500, 60_000),
}
"""Deepgram's limits."""
ENGLISH_MODEL, MULTILINGUAL_MODEL = "flux-general-en", "flux-general-multi"


@dataclass(frozen=True, slots=True)
class TurnThresholds:
    """When a turn ends."""

    eot_threshold: float = 0.7
    """Probability of a complete turn above which it ends; 1 = only the time-out ends it."""
    eager_eot_threshold: float | None = None
    """Probability above which `EagerEndOfTurn` is sent; None = it never is."""
    eot_timeout_ms: float = 5_000
    """Silence after which the turn ends however probable that is."""

    def as_json(self) -> dict[str, float]:
        numbers = {
            "eot_threshold": self.eot_threshold,
            "eager_eot_threshold": self.eager_eot_threshold,
            "eot_timeout_ms": round(self.eot_timeout_ms),
        }
        return {name: value for name, value in numbers.items() if value is not None}


@dataclass(frozen=True, slots=True)
class FluxOptions:
    """The options of a client."""

    live: LiveOptions
    thresholds: TurnThresholds
    model: str | None = None
    language_hints: tuple[str, ...] = ()


def flux_options(query: Sequence[tuple[str, str]]) -> FluxOptions:
    """Read the query.

    Raises:
        InvalidRequestError: an option is unknown, invalid or not supported.
    """
    asked = gathered(query, KNOWN, LACKING, REPEATED)
    single = {name: values[0] for name, values in asked.items()}
    flag(single, "mip_opt_out")
    encoding, sample_rate = audio_format(single)
    model, hints = _flux_model(single.get("model")), tuple(terms(asked.get("language_hint", ())))
    live = LiveOptions(
        encoding=encoding,
        sample_rate=sample_rate,
        language=_language(model, hints),
        hotwords=tuple(terms(asked.get("keyterm", ()))),
        words=True,
    )
    thresholds = with_thresholds(TurnThresholds(), {name: single[name] for name in RANGES if name in single})
    return FluxOptions(with_turns(live, thresholds), thresholds, model, hints)


def configured(options: FluxOptions, message: Mapping[str, Any]) -> FluxOptions:
    """The options after a `Configure` message; what it does not have stays.

    Raises:
        InvalidRequestError: a member is unknown, invalid or not supported.
    """
    known = ("keyterms", "language_hints", "numerals", "thresholds", "type")
    for name in message:
        if name not in known:
            there_are = ", ".join(known[:-1])
            raise InvalidRequestError(f"{name[:50]!r} cannot be configured; there are: {there_are}", param=name[:50])
    if message.get("numerals") not in (None, False, "false"):
        raise lacking("numerals")
    thresholds = message.get("thresholds")
    if not isinstance(thresholds, dict | None):
        raise InvalidRequestError("thresholds must be an object", param="thresholds")
    changed = with_thresholds(options.thresholds, thresholds or {})
    keyterms, hints = _strings(message, "keyterms"), _strings(message, "language_hints")
    live = options.live if keyterms is None else replace(options.live, hotwords=tuple(terms(keyterms)))
    if hints is not None:
        live = replace(live, language=_language(options.model, hints))
    return replace(
        options,
        live=with_turns(live, changed),
        thresholds=changed,
        language_hints=options.language_hints if hints is None else tuple(hints),
    )


def with_thresholds(thresholds: TurnThresholds, asked: Mapping[str, Any]) -> TurnThresholds:
    """Raises InvalidRequestError: one is unknown or out of range, or the eager one is above the other."""
    changes: dict[str, float] = {}
    for name, value in asked.items():
        if name not in RANGES:
            there_are = ", ".join(RANGES)
            raise InvalidRequestError(f"unknown threshold {name[:50]!r}; there are: {there_are}", param=name[:50])
        if value is not None:
            changes[name] = _number(name, value)
    changed = replace(thresholds, **changes)
    if changed.eager_eot_threshold is not None and changed.eager_eot_threshold > changed.eot_threshold:
        text = f"eager_eot_threshold must be at most eot_threshold, which is {changed.eot_threshold:g}"
        raise InvalidRequestError(text, param="eager_eot_threshold")
    return changed


def with_turns(live: LiveOptions, thresholds: TurnThresholds) -> LiveOptions:
    """The options of a stream whose turns end by these thresholds."""
    if thresholds.eot_threshold >= 1 and thresholds.eager_eot_threshold is None:
        return replace(live, turn_detection="silence", silence_ms=thresholds.eot_timeout_ms)
    return replace(
        live,
        turn_detection="smart",
        silence_ms=None,
        turn_threshold=thresholds.eot_threshold,
        max_silence_ms=thresholds.eot_timeout_ms,
    )


def _flux_model(model: str | None) -> str | None:
    """Raises InvalidRequestError: it is no Flux model. Aliases of the served model, such as nova-3, are none."""
    if model is not None and not model.startswith("flux-"):
        text = f"model {model[:100]!r} is no Flux model; expected {ENGLISH_MODEL} or {MULTILINGUAL_MODEL}"
        raise InvalidRequestError(text, param="model")
    return model


def _language(model: str | None, hints: Sequence[str]) -> str | None:
    """One hint fixes the language; with several it is detected. Raises InvalidRequestError: the model has another."""
    if model == ENGLISH_MODEL:
        for hint in hints:
            if hint.lower().split("-")[0] not in ("en", "english"):
                text = f"language_hint {hint[:50]!r} contradicts model={ENGLISH_MODEL}; expected {MULTILINGUAL_MODEL}"
                raise InvalidRequestError(text, param="language_hint")
        return "en"
    return hints[0] if len(hints) == 1 else None


def _number(name: str, value: object) -> float:
    low, high = RANGES[name]
    number = float(value) if _is_number(value) else math.nan
    if not low <= number <= high:
        text = f"invalid value {str(value)[:50]!r} for {name}; expected a number from {low:g} to {high:g}"
        raise InvalidRequestError(text, param=name)
    return number


def _is_number(value: object) -> TypeGuard[float | str]:
    if isinstance(value, str):
        return re.fullmatch(r"\d{0,6}(\.\d{0,20})?", value, re.ASCII) is not None and value not in ("", ".")
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < sys.float_info.max


def _strings(message: Mapping[str, Any], name: str) -> list[str] | None:
    found = message.get(name)
    if isinstance(found, str):
        return [found]
    if found is None or (isinstance(found, list) and all(isinstance(each, str) for each in found)):
        return found
    raise InvalidRequestError(f"{name} must be a list of strings", param=name)
