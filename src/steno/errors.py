"""Every error that steno raises on purpose.

    StenoError
    ├── SettingsError              an environment variable or an option of the command line is wrong
    ├── InvalidRequestError        the caller asked for something that does not exist
    │   ├── UnsupportedLanguageError
    │   ├── UnsupportedSampleRateError
    │   ├── UnknownModelError
    │   ├── UnsupportedFeatureError      a capability that this backend lacks
    │   ├── MalformedRequestError        this is not HTTP, or can be read in two ways
    │   ├── UrlTooLongError              the address has more bytes than allowed
    │   └── HeadTooLargeError            the headers have more lines or bytes than allowed
    ├── AuthenticationError
    ├── ForbiddenOriginError       a web page of another site may not connect
    ├── ForbiddenHostError         the request calls the server by a name that it does not know
    ├── SessionEndedError          the server ends a live session: it was idle, or open for too long
    ├── SlowReaderError            a live client does not read what it is told
    ├── UploadStalledError         the request's body stopped coming
    ├── AudioError                 the audio cannot be used
    │   ├── NotAudioError                it is something else
    │   ├── UndecodableAudioError        it is damaged, or a codec that we do not read
    │   ├── EmptyAudioError              it holds no samples
    │   ├── AudioTrackNotFoundError      the file has no such audio track
    │   ├── AudioTooLargeError           more bytes than allowed
    │   └── AudioTooLongError            more seconds than allowed
    ├── RetryableError             come back in `retry_after_s`
    │   ├── OverloadedError              every place is taken
    │   └── UnavailableError             the server cannot serve now
    │       ├── DrainingError                  it is shutting down
    │       ├── ModelLoadError                 the model did not load, or not in time
    │       └── BackendCrashedError            the recogniser's process died
    ├── DeadlineExceededError      the request's own time is up
    ├── TranslationError           the LLM gave no translation
    ├── TranslationNotConfiguredError    there is no LLM to ask
    ├── SupersededError            a newer job of the same utterance took its place
    └── BackendError               the recogniser failed
        └── BackendUnavailableError      it cannot run on this machine

Each has a stable machine `code` and a sentence that says what was wrong and what would be right. What they mean
in HTTP is decided in `server/http/error_response.py`.
"""

from __future__ import annotations

from copy import copy
from typing import ClassVar, Self


class StenoError(Exception):
    """Base of all. `param` names the option at fault, if one is."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def fresh(self) -> Self:
        """An equal error for another caller. The frames in the traceback of an error that was raised stay in memory,
        with the audio in them, for as long as the error does: callers that share one share all of that."""
        return copy(self)


class SettingsError(StenoError):
    code = "invalid_settings"


class InvalidRequestError(StenoError):
    code = "invalid_request"


class UnsupportedLanguageError(InvalidRequestError):
    code = "unsupported_language"


class UnsupportedSampleRateError(InvalidRequestError):
    code = "unsupported_sample_rate"


class UnknownModelError(InvalidRequestError):
    code = "model_not_found"


class UnknownAddressError(InvalidRequestError):
    code = "not_found"


class UnsupportedFeatureError(InvalidRequestError):
    code = "unsupported_feature"


class MalformedRequestError(InvalidRequestError):
    code = "malformed_request"


class UrlTooLongError(InvalidRequestError):
    code = "url_too_long"


class HeadTooLargeError(InvalidRequestError):
    code = "head_too_large"


class AuthenticationError(StenoError):
    code = "invalid_api_key"


class ForbiddenOriginError(StenoError):
    code = "forbidden_origin"


class ForbiddenHostError(StenoError):
    code = "forbidden_host"


class SessionEndedError(StenoError):
    code = "session_ended"


class SlowReaderError(StenoError):
    code = "slow_reader"


class UploadStalledError(StenoError):
    code = "upload_stalled"


class AudioError(StenoError):
    code = "invalid_audio"


class NotAudioError(AudioError):
    code = "not_audio"


class UndecodableAudioError(AudioError):
    code = "undecodable_audio"


class EmptyAudioError(AudioError):
    code = "empty_audio"


class AudioTrackNotFoundError(AudioError):
    code = "audio_track_not_found"


class AudioTooLargeError(AudioError):
    code = "audio_too_large"


class AudioTooLongError(AudioError):
    code = "audio_too_long"


class RetryableError(StenoError):
    """Something that another try may get past; `retry_after_s` is an estimate, in seconds."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OverloadedError(RetryableError):
    code = "overloaded"


class UnavailableError(RetryableError):
    code = "unavailable"


class DrainingError(UnavailableError):
    code = "draining"

    def __init__(self, message: str = "the server is shutting down; try again", *, retry_after_s: float = 5.0) -> None:
        super().__init__(message, retry_after_s=retry_after_s)


class ModelLoadError(UnavailableError):
    code = "model_load_failed"


class BackendCrashedError(UnavailableError):
    code = "backend_crashed"
    may_pass: ClassVar[bool] = True
    """Whether the same work may succeed in a fresh process."""


class DeadlineExceededError(StenoError):
    code = "deadline_exceeded"


class TranslationError(StenoError):
    code = "translation_failed"


class TranslationNotConfiguredError(StenoError):
    code = "translation_not_configured"


class SupersededError(StenoError):
    code = "superseded"


class BackendError(StenoError):
    code = "backend_error"


class BackendUnavailableError(BackendError):
    code = "backend_unavailable"
