"""Form fields of requests, and their checks against the backend's capabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import msgspec
from fastapi import File, Form, UploadFile

from steno.backends.base import Capabilities
from steno.captions.speaker_cues import SpeakerLabels
from steno.engine.front import Engine
from steno.errors import InvalidRequestError, UnsupportedFeatureError
from steno.pipelines.file import FileOptions
from steno.pipelines.known_text import KnownTextOptions, Repeats
from steno.pipelines.recording_speakers import MAX_SPEAKERS, SpeakerOptions
from steno.pipelines.request_checks import TimingMode, check_language
from steno.server.http.known_voices import check_known, decoded_known

MAX_CONTEXT = 4000
"""Max characters of `prompt` and `hotwords`; more would displace the audio in a model's context window."""

MAX_TEXT = 400_000
"""Max characters of a text to align: eight hours of speech."""

MAX_URL = 4000

Format = Literal["json", "text", "verbose_json", "diarized_json", "srt", "vtt", "lrc", "tsv"]
CaptionFormat = Literal["srt", "vtt", "lrc", "tsv"]
AlignmentFormat = Literal["json", "lrc", "elrc", "srt", "vtt", "ass", "ttml", "textgrid"]
Granularity = Literal["word", "segment"]


Recording = Annotated[
    UploadFile | None, File(description="The recording: any audio or video file. Required without `audio_url`.")
]
Url = Annotated[
    str | None,
    Form(max_length=MAX_URL, description="Where the server gets the recording; needs `ALLOW_URLS=true` there."),
]
Model = Annotated[str | None, Form(description="The served model, or an alias of it. Optional.")]
Spoken = Annotated[
    str | None, Form(description="Spoken language: ISO 639-1 code (`en`) or name; `auto` or empty = detect.")
]
Timing = Annotated[
    TimingMode, Form(description="Subtitle times: from recognised word times, or estimated from the words' length.")
]
LineChars = Annotated[int, Form(ge=10, le=200, description="Max columns of a subtitle line; a CJK character has two.")]
Track = Annotated[
    str | None,
    Form(max_length=50, description="Audio track of a multi-track file: its number, from 1, or its language."),
]
Lines = Annotated[int, Form(ge=1, le=4, description="Max lines of a subtitle.")]

Diarize = Annotated[
    bool | None, Form(description="Tell the speakers apart. `response_format=diarized_json` implies it.")
]
NumSpeakers = Annotated[
    int | None, Form(ge=1, le=MAX_SPEAKERS, description="How many speakers there are, if that is known.")
]
MinSpeakers = Annotated[int | None, Form(ge=1, le=MAX_SPEAKERS, description="At least so many speakers.")]
MaxSpeakers = Annotated[int | None, Form(ge=1, le=MAX_SPEAKERS, description="At most so many speakers.")]
Labels = Annotated[
    SpeakerLabels | None,
    Form(
        description="Subtitles with `diarize=true`: a dash for each speaker of a shared cue (default), names, or none."
    ),
]
COUNTS = ("num_speakers", "min_speakers", "max_speakers")


@dataclass(slots=True, kw_only=True)
class RecordingForm:
    """The fields of every request for work on a recording."""

    file: Recording = None
    audio_url: Url = None
    model: Model = None
    track: Track = None
    max_line_chars: LineChars = 42
    max_lines: Lines = 2

    def ignored(self, capabilities: Capabilities) -> list[str]:
        """Fields that have no effect: hints that the backend does not support, options of another format."""
        return []


@dataclass(slots=True, kw_only=True)
class SpeakerForm(RecordingForm):
    """The fields of requests that may ask who speaks."""

    diarize: Diarize = None
    num_speakers: NumSpeakers = None
    min_speakers: MinSpeakers = None
    max_speakers: MaxSpeakers = None
    speaker_labels: Labels = None

    def shown_labels(self) -> SpeakerLabels:
        return self.speaker_labels or "dash"

    def speakers(self, *, wanted: bool) -> SpeakerOptions | None:
        """What is asked about speakers; None if they are not `wanted`.

        Raises:
            InvalidRequestError: fields contradict each other.
        """
        given = [name for name in (*COUNTS, "speaker_labels") if getattr(self, name) is not None]
        if not wanted:
            if given:
                raise InvalidRequestError(f"{given[0]} needs diarize=true", param=given[0])
            return None
        if self.num_speakers is not None and given[1:2] and given[1] in COUNTS:
            raise InvalidRequestError(f"num_speakers excludes {given[1]}", param=given[1])
        least = self.num_speakers or self.min_speakers or 1
        most = self.num_speakers or self.max_speakers or MAX_SPEAKERS
        if least > most:
            text = f"min_speakers ({least}) must be at most max_speakers ({most})"
            raise InvalidRequestError(text, param="min_speakers")
        return SpeakerOptions(least, most)


@dataclass(slots=True, kw_only=True)
class TranscriptionForm(SpeakerForm):
    """OpenAI's fields, then steno's. For `Depends`."""

    language: Spoken = None
    prompt: Annotated[str, Form(description="Context for the recogniser.", max_length=MAX_CONTEXT)] = ""
    response_format: Annotated[Format, Form()] = "json"
    temperature: Annotated[float, Form(ge=0, le=1, description="Accepted and ignored; decoding is greedy.")] = 0.0
    granularities: Annotated[
        list[Granularity] | None, Form(alias="timestamp_granularities[]", description="For `verbose_json`.")
    ] = None
    include: Annotated[
        list[Literal["logprobs"]] | None, Form(alias="include[]", description="`logprobs`, for `json`.")
    ] = None
    stream: Annotated[bool, Form(description="Respond with server-sent events, as segments are recognised.")] = False
    hotwords: Annotated[str, Form(description="Words to expect, comma-separated.", max_length=MAX_CONTEXT)] = ""
    keywords: Annotated[list[str] | None, Form(alias="keywords[]", description="Hot words, one per field.")] = None
    languages: Annotated[
        list[str] | None, Form(alias="languages[]", description="Expected languages; a single one sets `language`.")
    ] = None
    mode: Timing = "accurate"
    known_speaker_names: Annotated[
        list[str] | None, Form(alias="known_speaker_names[]", description="Names of speakers whose voices are sent.")
    ] = None
    known_speaker_references: Annotated[
        list[str] | None,
        Form(alias="known_speaker_references[]", description="For each name a recording of the voice, as a data URL."),
    ] = None
    chunking_strategy: Annotated[
        str | None,
        Form(max_length=1000, description="`auto` or a `server_vad` object; ignored, as recordings are cut at pauses."),
    ] = None

    @property
    def _spoken(self) -> str | None:
        return self.language or (self.languages[0] if self.languages and len(self.languages) == 1 else None)

    @property
    def wants_words(self) -> bool:
        """Whether the response requires word times. Subtitles do not."""
        return "word" in (self.granularities or []) or bool(self.include)

    def options(self, engine: Engine) -> FileOptions:
        """Convert the form to the pipeline's options.

        Raises:
            InvalidRequestError: options contradict each other, or the backend does not support them.
        """
        capabilities, backend = engine.capabilities, engine.backend.name
        language = check_language(self._spoken, capabilities, backend)
        if self.stream and self.response_format not in ("json", "text", "diarized_json"):
            text = f"response_format={self.response_format} is not supported with stream=true; expected json, text or "
            text += "diarized_json"
            raise InvalidRequestError(text, param="response_format")
        if self.wants_words and not engine.times_words_of(language):
            text = f"word times are not supported: backend {backend!r} gives none, and no aligner supports "
            text += f"{language or 'its languages'}; request segment, or set ALIGNER"
            raise UnsupportedFeatureError(text, param="timestamp_granularities[]")
        parts = (self.prompt, self.hotwords, *(self.keywords or ()))
        context = ", ".join(part for part in parts if part)[:MAX_CONTEXT] if capabilities.context else ""
        shows_times = self.response_format in get_args(CaptionFormat) and self.mode == "accurate"
        words = self.wants_words or shows_times or self.response_format == "verbose_json"
        speakers = self.speakers(wanted=self._wants_speakers())
        return FileOptions(language, context, words or speakers is not None, self.track, speakers)

    def check_chunking(self) -> None:
        """Raises InvalidRequestError: `chunking_strategy` is none of OpenAI's."""
        if self.chunking_strategy in (None, "auto"):
            return
        try:
            strategy = msgspec.json.decode(self.chunking_strategy or "", type=dict[str, object])
        except msgspec.DecodeError:
            strategy = {}
        if strategy.get("type") != "server_vad":
            text = f"invalid value {(self.chunking_strategy or '')[:50]!r} for chunking_strategy; expected auto or a "
            text += 'JSON object such as {"type": "server_vad"}'
            raise InvalidRequestError(text, param="chunking_strategy")

    def names_voices(self) -> bool:
        """Whether known speakers are named. Raises InvalidRequestError."""
        are_known = check_known(self.known_speaker_names, self.known_speaker_references)
        if are_known and not self._wants_speakers():
            raise InvalidRequestError("known_speaker_names[] needs diarize=true", param="known_speaker_names[]")
        return are_known

    def known_voices(self) -> list[tuple[str, bytes]]:
        """Names, and recordings of the voices. Call it in a thread. Raises InvalidRequestError."""
        return decoded_known(self.known_speaker_names or (), self.known_speaker_references or ())

    def check_speakers_are_shown(self) -> None:
        """Raises InvalidRequestError if speakers are asked for in a format that does not tell them."""
        if self.diarize and self.response_format in ("json", "text"):
            text = f"response_format={self.response_format} does not tell the speakers; expected diarized_json, "
            text += "verbose_json, srt, vtt, lrc or tsv"
            raise InvalidRequestError(text, param="response_format")

    def _wants_speakers(self) -> bool:
        if self.response_format == "diarized_json" and self.diarize is False:
            raise InvalidRequestError("response_format=diarized_json contradicts diarize=false", param="diarize")
        return bool(self.diarize) or self.response_format == "diarized_json"

    def ignored(self, capabilities: Capabilities) -> list[str]:
        hints = {
            **_hints(self, capabilities),
            "hotwords": bool(self.hotwords) and not capabilities.context,
            "keywords[]": bool(self.keywords) and not capabilities.context,
            "languages[]": bool(self.languages) and self.languages != [self._spoken],
            "timestamp_granularities[]": bool(self.granularities) and self.response_format != "verbose_json",
            "include[]": bool(self.include) and self.response_format != "json",
            "speaker_labels": self.speaker_labels is not None and self.response_format not in get_args(CaptionFormat),
            "chunking_strategy": self.chunking_strategy not in (None, "auto"),
        }
        return [name for name, given in hints.items() if given]


@dataclass(slots=True, kw_only=True)
class SubtitleForm(SpeakerForm):
    """The fields of subtitles. For `Depends`."""

    language: Spoken = None
    response_format: Annotated[CaptionFormat, Form()] = "srt"
    mode: Timing = "accurate"


@dataclass(slots=True, kw_only=True)
class AlignmentForm(RecordingForm):
    """The fields of an alignment. For `Depends`."""

    text: Annotated[
        str,
        Form(
            max_length=MAX_TEXT,
            description="Lyrics or a script; lines are kept. Section marks (`[Chorus]`) and empty lines are not sung.",
        ),
    ]
    language: Spoken = None
    response_format: Annotated[
        AlignmentFormat, Form(description="`elrc` has word times, `ass` is karaoke, `textgrid` is Praat's.")
    ] = "json"
    repeats: Annotated[
        Repeats, Form(description="`auto`: lines and sections may be sung again; `as_written`: as often as written.")
    ] = "auto"
    force: Annotated[bool, Form(description="Time a text that does not match the audio, instead of refusing it.")] = (
        False
    )

    def options(self, engine: Engine) -> KnownTextOptions:
        """Convert the form to the pipeline's options. Raises UnsupportedLanguageError."""
        language = check_language(self.language, engine.capabilities, engine.backend.name)
        return KnownTextOptions(language, self.repeats, self.force, self.track)


@dataclass(slots=True, kw_only=True)
class TranslationForm(RecordingForm):
    """OpenAI's fields, then steno's; `language` is the target. For `Depends`."""

    prompt: Annotated[str, Form(description="Context for the recogniser.", max_length=MAX_CONTEXT)] = ""
    response_format: Annotated[Literal["json", "text", "verbose_json", "srt", "vtt"], Form()] = "json"
    temperature: Annotated[float, Form(ge=0, le=1, description="Accepted and ignored; decoding is greedy.")] = 0.0
    language: Annotated[str, Form(description="Target language: a code or name.", max_length=50)] = "en"
    source_language: Spoken = None
    glossary: Annotated[
        str, Form(description="`term=translation`, one per line or comma-separated.", max_length=MAX_CONTEXT)
    ] = ""
    bilingual: Annotated[bool, Form(description="Subtitles: source text below the translation.")] = False
    mode: Timing = "accurate"

    def ignored(self, capabilities: Capabilities) -> list[str]:
        return [name for name, given in _hints(self, capabilities).items() if given]


def _hints(form: TranscriptionForm | TranslationForm, capabilities: Capabilities) -> dict[str, bool]:
    return {"prompt": bool(form.prompt) and not capabilities.context, "temperature": form.temperature > 0}
