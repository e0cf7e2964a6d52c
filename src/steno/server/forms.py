"""What a transcription request may say, and what of it this server's backend can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import File, Form, UploadFile

from steno.backends.base import Capabilities
from steno.errors import InvalidRequestError, UnsupportedFeatureError, UnsupportedLanguageError
from steno.languages import code_of
from steno.pipelines.file import FileOptions

MAX_CONTEXT = 4000
"""Characters of `prompt` and `hotwords`; more would crowd the audio out of a model's window."""

Format = Literal["json", "text", "verbose_json"]
Granularity = Literal["word", "segment"]


@dataclass(slots=True)
class TranscriptionForm:
    """The fields of OpenAI's API, then ours. For `Depends`."""

    file: Annotated[UploadFile, File(description="The recording: any audio or video file.")]
    model: Annotated[str | None, Form(description="The served model, or an alias of it. May be left out.")] = None
    language: Annotated[
        str | None, Form(description="ISO 639-1 code (`en`) or name (`English`); `auto` or nothing = detect.")
    ] = None
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

    @property
    def wants_words(self) -> bool:
        return "word" in (self.granularities or []) or bool(self.include)

    def options(self, capabilities: Capabilities, backend: str) -> FileOptions:
        """The form as the pipeline's options.

        Raises:
            InvalidRequestError: options that contradict each other, or that the backend cannot fulfil.
        """
        if self.stream and self.response_format == "verbose_json":
            text = "stream=true gives events; response_format=verbose_json does not go with it: use json"
            raise InvalidRequestError(text, param="response_format")
        if self.hotwords and not capabilities.context:
            text = f"backend {backend!r} takes no hot words; leave them out, or set MODEL_ID to a model that does"
            raise UnsupportedFeatureError(text, param="hotwords")
        if self.wants_words and not capabilities.word_times:
            text = f"backend {backend!r} gives no word times; ask for segment"
            raise UnsupportedFeatureError(text, param="timestamp_granularities[]")
        context = ", ".join(part for part in (self.prompt, self.hotwords) if part) if capabilities.context else ""
        return FileOptions(check_language(self.language, capabilities, backend), context, self.wants_words)

    def ignored(self, capabilities: Capabilities) -> list[str]:
        """Hints that clients send as a matter of course and that this backend cannot follow."""
        hints = {"prompt": bool(self.prompt) and not capabilities.context, "temperature": self.temperature > 0}
        return [name for name, given in hints.items() if given]


def check_language(language: str | None, capabilities: Capabilities, backend: str) -> str | None:
    """A request's `language` as an ISO 639-1 code; None = detect.

    Raises:
        UnsupportedLanguageError: nobody knows it, or this backend does not speak it.
    """
    if not language or language.strip().lower() in ("", "auto"):
        return None
    code = code_of(language)
    if code is None:
        text = f"unsupported_language: {language!r} is not a known ISO 639-1 code or English name of a language"
        raise UnsupportedLanguageError(text, param="language")
    if capabilities.languages is not None and code not in capabilities.languages:
        spoken = ", ".join(sorted(capabilities.languages))
        text = (
            f"unsupported_language: backend {backend!r} speaks {spoken} only, not {code!r}; "
            "set MODEL_ID to a multilingual model such as Qwen/Qwen3-ASR-0.6B"
        )
        raise UnsupportedLanguageError(text, param="language")
    return code
