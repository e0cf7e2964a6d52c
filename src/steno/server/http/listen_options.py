"""What Deepgram's clients ask for when they send a recording to `POST /v1/listen`.

As live: a feature that is not supported is refused by name, only `false` is fine. How the text is written is the
model's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from steno.audio.wav_header import RawFormat
from steno.engine.front import Engine
from steno.errors import InvalidRequestError
from steno.pipelines.file import FileOptions
from steno.pipelines.live.live_options import MAX_PROMPT
from steno.pipelines.recording_speakers import SpeakerOptions
from steno.pipelines.request_checks import check_language
from steno.server.live.dialects import deepgram_options as live
from steno.server.live.dialects.deepgram_options import flag, keyword, lacking, number, terms, wants_speakers, wrong

AS_WRITTEN = (*live.AS_WRITTEN, "measurements")
LACKING = (
    *live.LACKING,
    "custom_intent",
    "custom_intent_mode",
    "custom_topic",
    "custom_topic_mode",
    "intents",
    "sentiment",
    "summarize",
    "topics",
)
NUMBERS = ("sample_rate", "channels")
KNOWN = (
    "channels",
    "detect_language",
    "diarize",
    "diarize_model",
    "diarize_version",
    "encoding",
    "extra",
    "keyterm",
    "keywords",
    "language",
    "mip_opt_out",
    "model",
    "paragraphs",
    "sample_rate",
    "tag",
    "utt_split",
    "utterances",
    "version",
    *AS_WRITTEN,
)
REPEATED = ("detect_language", "extra", "keyterm", "keywords", "tag", *LACKING)
UTT_SPLIT_S = 0.8


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """What a client wants of a recording."""

    model_id: str
    file: FileOptions
    raw: RawFormat | None
    """Of samples without a container, if it says so."""
    detects_language: bool
    multilingual: bool
    paragraphs: bool
    utt_split_s: float | None
    """The pause between two utterances; None: it wants none."""
    tags: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    """Hints that the recogniser does not use."""


def listen_options(
    query: Sequence[tuple[str, str]], engine: Engine, check_model: Callable[[str | None], str]
) -> ListenOptions:
    """Read the query.

    Raises:
        InvalidRequestError: an option is unknown, wrong, or not supported; it is named.
    """
    asked = _gathered(query)
    single = {name: values[0] for name, values in asked.items()}
    for name in (*AS_WRITTEN, "mip_opt_out"):
        flag(single, name)
    if single.get("version", "latest") != "latest":
        raise wrong("version", single["version"], "'latest'; a model has one version here")
    language = single.get("language")
    detects = any(value.lower() != "false" for value in asked.get("detect_language", ()))
    multilingual = language == "multi"
    hints = [*terms(asked.get("keyterm", ())), *terms(map(keyword, asked.get("keywords", ())))]
    context = ", ".join(hints)
    if len(context) > MAX_PROMPT:
        raise InvalidRequestError(f"keyterm and keywords take {MAX_PROMPT} characters at most", param="keyterm")
    takes_hints = engine.capabilities.context
    spoken = check_language(None if detects or multilingual else language, engine.capabilities, engine.backend.name)
    return ListenOptions(
        model_id=live.check_model(single.get("model"), check_model),
        file=FileOptions(
            spoken,
            context if takes_hints else "",
            words=True,
            speakers=SpeakerOptions() if wants_speakers(single, (*live.DIARIZE_MODELS, "v2")) else None,
        ),
        raw=_raw_format(single),
        detects_language=detects,
        multilingual=multilingual,
        paragraphs=flag(single, "paragraphs" if "paragraphs" in single else "smart_format"),
        utt_split_s=_utt_split_s(single.get("utt_split")) if flag(single, "utterances") else None,
        tags=tuple(asked.get("tag", ())),
        ignored=() if takes_hints else tuple(name for name in ("keyterm", "keywords") if name in asked),
    )


def _gathered(query: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    asked: dict[str, list[str]] = {}
    for name, value in query:
        if name not in (*KNOWN, *LACKING):
            known = ", ".join(sorted(KNOWN))
            raise InvalidRequestError(f"unknown option {name[:50]!r}; there are: {known}", param=name[:50])
        if name in LACKING and value.lower() != "false":
            raise lacking(name)
        asked.setdefault(name, []).append(value)
        if len(asked[name]) > 1 and name not in REPEATED:
            raise InvalidRequestError(f"{name} is given more than once", param=name)
    return asked


def _raw_format(single: dict[str, str]) -> RawFormat | None:
    """`encoding` is for raw samples; a container is known by how it begins."""
    encoding = single.get("encoding")
    for name in NUMBERS:
        if name in single:
            number(name, single[name])
    if encoding is None:
        return None
    ours = live.ENCODINGS.get(encoding)
    if ours in ("pcm_s16le", "pcm_f32le", "mulaw", "alaw"):
        if "sample_rate" not in single:
            raise InvalidRequestError(f"sample_rate is needed with encoding={encoding}", param="sample_rate")
        rate, channels = number("sample_rate", single["sample_rate"]), number("channels", single.get("channels", "1"))
        if not 1000 <= rate <= 384_000:
            raise wrong("sample_rate", single["sample_rate"], "1000 to 384000 Hz")
        if not 1 <= channels <= 32:
            raise wrong("channels", single["channels"], "1 to 32")
        return RawFormat(ours, rate, channels)
    if ours is None and encoding not in ("flac", "amr-nb", "amr-wb"):
        raise wrong("encoding", encoding, f"one of {', '.join(live.ENCODINGS)}; leave it out for audio in a container")
    return None


def _utt_split_s(value: str | None) -> float:
    if value is None:
        return UTT_SPLIT_S
    if not re.fullmatch(r"\d{1,4}(\.\d{0,6})?", value, re.ASCII):
        raise wrong("utt_split", value, "seconds")
    return float(value)
