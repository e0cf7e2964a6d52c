"""What requests may say, and what of it this server's backend can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from fastapi import File, Form, UploadFile

from steno.backends.base import Capabilities
from steno.engine.engine import Engine
from steno.errors import InvalidRequestError, UnsupportedFeatureError
from steno.pipelines.file import FileOptions
from steno.pipelines.request_checks import TimingMode, check_language

MAX_CONTEXT = 4000
"""Characters of `prompt` and `hotwords`; more would crowd the audio out of a model's window."""

Format = Literal["json", "text", "verbose_json", "srt", "vtt", "lrc", "tsv"]
CaptionFormat = Literal["srt", "vtt", "lrc", "tsv"]
Granularity = Literal["word", "segment"]


Recording = Annotated[UploadFile, File(description="The recording: any audio or video file.")]
Model = Annotated[str | None, Form(description="The served model, or an alias of it. May be left out.")]
Spoken = Annotated[
    str | None, Form(description="Spoken language: ISO 639-1 code (`en`) or name; `auto` or nothing = detect.")
]
Timing = Annotated[
    TimingMode, Form(description="Subtitle times: from the words as they were heard, or spread by their length.")
]
LineChars = Annotated[int, Form(ge=10, le=200, description="Columns of a subtitle line; a CJK character takes two.")]
Track = Annotated[
    str | None,
    Form(max_length=50, description="Audio track of a file with several: its number, from 1, or its language."),
]
Lines = Annotated[int, Form(ge=1, le=4, description="Lines of a subtitle.")]


@dataclass(slots=True)
class TranscriptionForm:
    """The fields of OpenAI's API, then ours. For `Depends`."""

    file: Recording
    model: Model = None
    language: Spoken = None
    prompt: Annotated[str, Form(description="Context for the recogniser.", max_length=MAX_CONTEXT)] = ""
    response_format: Annotated[Format, Form()] = "json"
    temperature: Annotated[float, Form(ge=0, le=1, description="Accepted; decoding is greedy.")] = 0.0
    granularities: Annotated[
        list[Granularity] | None, Form(alias="timestamp_granularities[]", description="For `verbose_json`.")
    ] = None
    include: Annotated[
        list[Literal["logprobs"]] | None, Form(alias="include[]", description="`logprobs`, for `json`.")
    ] = None
    stream: Annotated[bool, Form(description="Answer with server-sent events, as text becomes known.")] = False
    hotwords: Annotated[str, Form(description="Words to expect, comma-separated.", max_length=MAX_CONTEXT)] = ""
    keywords: Annotated[list[str] | None, Form(alias="keywords[]", description="The same, one a field.")] = None
    languages: Annotated[
        list[str] | None, Form(alias="languages[]", description="Languages that may be spoken; a single one is set.")
    ] = None
    track: Track = None
    mode: Timing = "accurate"
    max_line_chars: LineChars = 42
    max_lines: Lines = 2

    @property
    def _spoken(self) -> str | None:
        return self.language or (self.languages[0] if self.languages and len(self.languages) == 1 else None)

    @property
    def wants_words(self) -> bool:
        """Whether the answer is made of words and cannot do without them; subtitles can."""
        return "word" in (self.granularities or []) or bool(self.include)

    def options(self, engine: Engine) -> FileOptions:
        """The form as the pipeline's options.

        Raises:
            InvalidRequestError: options that contradict each other, or that the backend cannot fulfil.
        """
        capabilities, backend = engine.capabilities, engine.backend.name
        language = check_language(self._spoken, capabilities, backend)
        if self.stream and self.response_format not in ("json", "text"):
            text = f"stream=true gives events; response_format={self.response_format} does not go with it: use json"
            raise InvalidRequestError(text, param="response_format")
        if self.wants_words and not engine.times_words_of(language):
            text = f"backend {backend!r} has no word times here, and no aligner speaks {language or 'its languages'}"
            text += ": ask for segment, or have ALIGNER set"
            raise UnsupportedFeatureError(text, param="timestamp_granularities[]")
        parts = (self.prompt, self.hotwords, *(self.keywords or ()))
        context = ", ".join(part for part in parts if part)[:MAX_CONTEXT] if capabilities.context else ""
        shows_times = self.response_format in get_args(CaptionFormat) and self.mode == "accurate"
        words = self.wants_words or shows_times or self.response_format == "verbose_json"
        return FileOptions(language, context, words, self.track)

    def ignored(self, capabilities: Capabilities) -> list[str]:
        """What was sent and has no effect: hints that this backend cannot follow, options of another format."""
        hints = {
            **_hints(self, capabilities),
            "hotwords": bool(self.hotwords) and not capabilities.context,
            "keywords[]": bool(self.keywords) and not capabilities.context,
            "languages[]": bool(self.languages) and self.languages != [self._spoken],
            "timestamp_granularities[]": bool(self.granularities) and self.response_format != "verbose_json",
            "include[]": bool(self.include) and self.response_format != "json",
        }
        return [name for name, given in hints.items() if given]


@dataclass(slots=True)
class SubtitleForm:
    """Just what subtitles need. For `Depends`."""

    file: Recording
    model: Model = None
    language: Spoken = None
    response_format: Annotated[CaptionFormat, Form()] = "srt"
    track: Track = None
    mode: Timing = "accurate"
    max_line_chars: LineChars = 42
    max_lines: Lines = 2

    def ignored(self, capabilities: Capabilities) -> list[str]:
        """Nothing: there are no hints here."""
        return []


@dataclass(slots=True)
class TranslationForm:
    """OpenAI's fields, then ours; `language` is the target. For `Depends`."""

    file: Recording
    model: Model = None
    prompt: Annotated[str, Form(description="Context for the recogniser.", max_length=MAX_CONTEXT)] = ""
    response_format: Annotated[Literal["json", "text", "verbose_json", "srt", "vtt"], Form()] = "json"
    temperature: Annotated[float, Form(ge=0, le=1, description="Accepted; decoding is greedy.")] = 0.0
    language: Annotated[str, Form(description="Into what: a code or name.", max_length=50)] = "en"
    source_language: Spoken = None
    track: Track = None
    glossary: Annotated[
        str, Form(description="`term=translation`, one a line or comma-separated.", max_length=MAX_CONTEXT)
    ] = ""
    bilingual: Annotated[bool, Form(description="Subtitles: the source text below the translation.")] = False
    mode: Timing = "accurate"
    max_line_chars: LineChars = 42
    max_lines: Lines = 2

    def ignored(self, capabilities: Capabilities) -> list[str]:
        """Hints that this backend cannot follow."""
        return [name for name, given in _hints(self, capabilities).items() if given]


def _hints(form: TranscriptionForm | TranslationForm, capabilities: Capabilities) -> dict[str, bool]:
    return {"prompt": bool(form.prompt) and not capabilities.context, "temperature": form.temperature > 0}
