"""The query of Deepgram's `/v1/listen` as `LiveOptions` and a few options of the dialect.

An unsupported feature is refused by name, unless it is `false`. The model decides the formatting: `punctuate`,
`smart_format` and `filler_words` are accepted with either value and have no effect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from steno.audio.intake import CONTAINERS
from steno.errors import InvalidRequestError, UnknownModelError, UnsupportedFeatureError
from steno.pipelines.live.live_options import MAX_SILENCE_MS, MIN_SILENCE_MS, LiveEncoding, LiveOptions, ignored

ENCODINGS: Mapping[str, LiveEncoding] = {
    "linear16": "pcm_s16le",
    "linear32": "pcm_f32le",  # floating-point, says https://developers.deepgram.com/docs/encoding
    "mulaw": "mulaw",
    "alaw": "alaw",
    "opus": "ogg",  # that page has called it "Ogg Opus" too; bare packets, of unknown length, are not read here
    "ogg-opus": "ogg",
}
SNIFFED: LiveEncoding = "webm"
"""Without an `encoding` the audio is in a container, which is detected by its first bytes. This value is ignored."""
MIN_UTTERANCE_END_MS = 1_000
"""Deepgram's limit."""

DIARIZE_MODELS = ("latest", "v1")
"""Deepgram's for streams. Each is the server's own."""
AS_WRITTEN = ("punctuate", "smart_format", "filler_words")
LACKING = (
    "callback",
    "callback_method",
    "detect_entities",
    "dictation",
    "language_hint",
    "multichannel",
    "numerals",
    "profanity_filter",
    "redact",
    "replace",
    "search",
)
REPEATED = ("keyterm", "keywords", "tag", "extra", *LACKING)
KNOWN = (
    "channels",
    "diarize",
    "diarize_model",
    "diarize_version",  # of older SDKs
    "encoding",
    "endpointing",
    "extra",  # book-keeping of the client's, as are `tag` and `mip_opt_out`: here nothing is kept
    "interim_results",
    "keyterm",
    "keywords",
    "language",
    "mip_opt_out",
    "model",
    "no_delay",  # a result never waits to be formatted
    "sample_rate",
    "tag",
    "utterance_end_ms",
    "vad_events",
    "version",
    *AS_WRITTEN,
)


@dataclass(frozen=True, slots=True)
class DeepgramOptions:
    """The options of a client."""

    live: LiveOptions
    model: str | None = None
    interim_results: bool = False
    vad_events: bool = False
    utterance_end_s: float | None = None
    multilingual: bool = False
    """Whether results include the language."""
    terms_from: str = "keyterm"
    """Name of the option with the hot words."""
    ignored: tuple[str, ...] = ()
    """Name of that option if the recogniser does not use hot words."""


def wishes_of(query: Sequence[tuple[str, str]]) -> DeepgramOptions:
    """Read the query.

    Raises:
        InvalidRequestError: an option is unknown, invalid or not supported.
    """
    asked = gathered(query, KNOWN, LACKING, REPEATED)
    single = {name: values[0] for name, values in asked.items()}
    for name in (*AS_WRITTEN, "mip_opt_out", "no_delay"):
        flag(single, name)
    if single.get("version", "latest") != "latest":
        raise wrong("version", single["version"], "'latest'; a model has one version here")
    if single.get("channels", "1") != "1":
        raise wrong("channels", single["channels"], "1: audio is mono here")
    encoding, sample_rate = audio_format(single)
    endpointing, silence_ms = _endpointing(single.get("endpointing"))
    language = single.get("language")
    multilingual = language == "multi"
    interim_results = flag(single, "interim_results")
    live = LiveOptions(
        encoding=encoding,
        sample_rate=sample_rate,
        language=None if multilingual else language,
        hotwords=(*terms(asked.get("keyterm", ())), *terms(map(keyword, asked.get("keywords", ())))),
        words=True,
        endpointing=endpointing,
        silence_ms=silence_ms,
        diarize=wants_speakers(single, DIARIZE_MODELS),
    )
    return DeepgramOptions(
        live,
        single.get("model"),
        interim_results,
        flag(single, "vad_events"),
        _utterance_end_s(single.get("utterance_end_ms"), interim_results),
        multilingual,
        "keyterm" if "keyterm" in asked else "keywords",
    )


def checked(wishes: DeepgramOptions, check: Callable[[LiveOptions], LiveOptions]) -> DeepgramOptions:
    """The options as they will be used; `ignored` names unused hints. Errors of `check` get the client's name of the
    option."""
    theirs = {"hotwords": wishes.terms_from, "prompt": wishes.terms_from, "silence_ms": "endpointing"}
    try:
        live = check(wishes.live)
        return replace(wishes, live=live, ignored=(wishes.terms_from,) if ignored(wishes.live, live) else ())
    except InvalidRequestError as error:
        param = theirs.get(error.param or "", error.param)
        raise type(error)(error.message, param=param) from None


def check_model(model: str | None, check: Callable[[str | None], str]) -> str:
    """The served model's id; `nova-3-general`, `-meeting` … are `nova-3`.

    Raises:
        InvalidRequestError: it is not served. Deepgram also responds with 400, not 404.
    """
    try:
        variant = re.fullmatch(r"(nova-\d)-\w+", model or "")
        if variant is None:
            return check(model)
        try:
            return check(model)
        except UnknownModelError:
            return check(variant[1])
    except UnknownModelError as error:
        raise InvalidRequestError(error.message, param="model") from None


def new_terms(message: Mapping[str, Any], *, diarize: bool) -> list[str] | None:
    """The key terms of a `Configure` message, which replace all before them; None = keep those.

    Args:
        diarize: whether the stream tells speakers, which cannot change.

    Raises:
        InvalidRequestError: a member is unknown or has the wrong type, or a feature is not supported.
    """
    for name in message:
        if name not in ("type", "keyterms", "features"):
            raise InvalidRequestError(f"{name[:50]!r} cannot be configured; keyterms and features can", param=name[:50])
    _check_features(message.get("features"), diarize=diarize)
    keyterms = message.get("keyterms")
    if keyterms is None:
        return None
    if not isinstance(keyterms, list) or not all(isinstance(term, str) for term in keyterms):
        raise InvalidRequestError("keyterms must be a list of strings", param="keyterms")
    return terms(keyterms)


def _check_features(features: object, *, diarize: bool) -> None:
    if features is None:
        return
    if not isinstance(features, dict) or not all(isinstance(wanted, bool) for wanted in features.values()):
        raise InvalidRequestError("features must be an object of booleans", param="features")
    for name, wanted in features.items():
        if name == "diarize":
            if wanted != diarize:
                raise UnsupportedFeatureError("diarize is fixed once a stream is open; connect anew", param=name)
            continue
        if name not in (*AS_WRITTEN, *LACKING):
            known = ", ".join(AS_WRITTEN)
            raise InvalidRequestError(f"unknown feature {name[:50]!r}; there are: {known}", param=name[:50])
        if wanted and name in LACKING:
            raise UnsupportedFeatureError(f"{name} is not supported", param=name)


def gathered(
    query: Sequence[tuple[str, str]], known: Sequence[str], unsupported: Sequence[str], repeated: Sequence[str]
) -> dict[str, list[str]]:
    """The values of each option.

    Args:
        known: options that are supported.
        unsupported: options that may only be `false`.
        repeated: options that may have several values.

    Raises:
        InvalidRequestError: an option is neither, or is given more than once, or is not supported.
    """
    asked: dict[str, list[str]] = {}
    for name, value in query:
        if name not in (*known, *unsupported):
            there_are = ", ".join(sorted(known))
            raise InvalidRequestError(f"unknown option {name[:50]!r}; there are: {there_are}", param=name[:50])
        if name in unsupported and value.lower() != "false":
            raise lacking(name)
        asked.setdefault(name, []).append(value)
        if len(asked[name]) > 1 and name not in repeated:
            raise InvalidRequestError(f"{name} is given more than once", param=name)
    return asked


def audio_format(single: Mapping[str, str]) -> tuple[LiveEncoding, int]:
    encoding, rate = single.get("encoding"), single.get("sample_rate")
    if encoding is not None and encoding not in ENCODINGS:
        raise wrong("encoding", encoding, f"one of {', '.join(ENCODINGS)}; leave it out for audio in a container")
    ours = SNIFFED if encoding is None else ENCODINGS[encoding]
    if ours in CONTAINERS:  # containers declare their encoding; some clients send it as well
        return ours, LiveOptions().sample_rate
    if rate is None:
        raise InvalidRequestError(f"sample_rate is needed with encoding={encoding}", param="sample_rate")
    return ours, number("sample_rate", rate)


def _endpointing(value: str | None) -> tuple[bool, float | None]:
    """Whether silence ends a segment, and its length in ms. Deepgram accepts 10 ms; it is raised to our minimum."""
    if value is None or value.lower() == "true":
        return True, None
    if value.lower() == "false":
        return False, None
    silence_ms = number("endpointing", value)
    if silence_ms > MAX_SILENCE_MS:
        raise wrong("endpointing", value, f"true, false or at most {MAX_SILENCE_MS} ms")
    return True, max(silence_ms, MIN_SILENCE_MS)


def _utterance_end_s(value: str | None, interim_results: bool) -> float | None:
    if value is None:
        return None
    gap_ms = number("utterance_end_ms", value)
    if gap_ms < MIN_UTTERANCE_END_MS:
        raise wrong("utterance_end_ms", value, f"at least {MIN_UTTERANCE_END_MS}")
    if not interim_results:
        raise InvalidRequestError("utterance_end_ms needs interim_results=true", param="utterance_end_ms")
    return gap_ms / 1000


def wants_speakers(single: Mapping[str, str], models: Sequence[str]) -> bool:
    """Whether `diarize_model` or `diarize_version` asks for speakers, or `diarize`, which decides if it is given.

    Args:
        models: the values of `diarize_model`. There is one version, whichever is asked for.
    """
    model = single.get("diarize_model")
    if model is not None and model not in models:
        raise wrong("diarize_model", model, " or ".join(models))
    if "diarize" in single:
        return flag(single, "diarize")
    return model is not None or "diarize_version" in single


def keyword(value: str) -> str:
    """`word` or `word:boost`; the boost is ignored."""
    boosted = re.fullmatch(r"(.+):([-+]?\d+(?:\.\d+)?)", value)
    if boosted is None:
        return value
    if float(boosted[2]) < 0:
        raise UnsupportedFeatureError("keywords: words can be boosted, not suppressed", param="keywords")
    return boosted[1]


def terms(values: Sequence[str] | map[str]) -> list[str]:
    return [value.strip() for value in values if value.strip()]


def flag(single: Mapping[str, str], name: str) -> bool:
    value = single.get(name, "false").lower()
    if value not in ("true", "false"):
        raise wrong(name, single[name], "true or false")
    return value == "true"


def number(name: str, value: str) -> int:
    whole = re.fullmatch(r"(\d{1,9})(?:\.0*)?", value, re.ASCII)
    if whole is None:
        raise wrong(name, value, "a whole number")
    return int(whole[1])


def wrong(name: str, value: str, wanted: str) -> InvalidRequestError:
    return InvalidRequestError(f"invalid value {value[:50]!r} for {name}; expected {wanted}", param=name)


def lacking(name: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(f"{name} is not supported; omit it (only 'false' is accepted)", param=name)
