"""All errors that steno raises.

    StenoError
    ├── SettingsError              an environment variable or a command line option is invalid
    ├── InvalidRequestError        an option of the request is invalid
    │   ├── UnsupportedLanguageError
    │   ├── UnsupportedSampleRateError
    │   ├── UnknownModelError
    │   ├── UnsupportedFeatureError      the backend does not support an option
    │   ├── MalformedRequestError        the request is not valid HTTP, or ambiguous
    │   ├── UrlTooLongError              the URL has more bytes than allowed
    │   ├── UrlRefusedError              the server may not contact this URL for a client
    │   ├── UrlFetchError                the recording at a URL could not be fetched
    │   ├── UnknownRecordingError        the archive has no such recording, or not what is asked for of it
    │   ├── UnknownJobError              there is no such job, or it is another client's
    │   ├── IdempotencyConflictError     the idempotency key was used for another job
    │   ├── JobNotFinishedError          the job has no result yet
    │   ├── JobFailedError               the job has no result, because it failed or was cancelled
    │   └── HeadTooLargeError            the headers have more lines or bytes than allowed
    ├── AuthenticationError
    ├── ForbiddenOriginError       web pages of this origin may not connect
    ├── ForbiddenHostError         the request's host name is not one of the server's
    ├── SessionEndedError          the server ends a live session that was idle or open for too long
    ├── SlowReaderError            a live client does not read its events
    ├── UploadStalledError         the request's body stalled
    ├── AudioError                 the audio cannot be used
    │   ├── NotAudioError                the file is not audio
    │   ├── UndecodableAudioError        the audio is damaged, or its codec is not supported
    │   ├── EmptyAudioError              the audio has no samples
    │   ├── AudioTrackNotFoundError      the file has no such audio track
    │   ├── AudioTooLargeError           more bytes than allowed
    │   └── AudioTooLongError            more seconds than allowed
    ├── TextMismatchError          the text to align is not what the audio says
    ├── JobQuotaError              the client has as many jobs, or hours of audio, as it may
    ├── JobStorageError            the disk for jobs is full, read-only or damaged
    ├── ArchiveError               an archive cannot be used
    │   ├── ManifestError                a recording's manifest is missing or invalid
    │   └── StageNotReadyError           a stage of a recording needs the result of an earlier one
    ├── RetryableError             retry after `retry_after_s`
    │   ├── OverloadedError              all capacity is in use
    │   └── UnavailableError             the server cannot serve now
    │       ├── DrainingError                  the server is shutting down
    │       ├── ModelLoadError                 the model could not be loaded, or not in time
    │       └── BackendCrashedError            the recogniser's process died
    ├── DeadlineExceededError      the request's time limit expired
    ├── TranslationError           the LLM returned no translation
    ├── TranslationNotConfiguredError    no LLM is configured
    ├── SupersededError            a newer job of the same utterance replaced this one
    └── BackendError               the recogniser failed
        └── BackendUnavailableError      the recogniser cannot run on this machine

Each error has a stable `code` and a message that states the problem and what is expected. `server/http/error_response`
maps errors to HTTP.
"""

from __future__ import annotations

from copy import copy
from typing import ClassVar, Self


class StenoError(Exception):
    """Base class. `param` names the invalid option, if there is one."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def fresh(self) -> Self:
        """A copy for another caller, without a traceback. A raised error keeps its frames in memory, with their audio;
        callers that share an error would share them."""
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


class UrlRefusedError(InvalidRequestError):
    code = "url_not_allowed"


class UrlFetchError(InvalidRequestError):
    code = "url_not_fetched"


class UnknownJobError(InvalidRequestError):
    code = "job_not_found"


class UnknownRecordingError(InvalidRequestError):
    code = "recording_not_found"


class IdempotencyConflictError(InvalidRequestError):
    code = "idempotency_conflict"


class JobNotFinishedError(InvalidRequestError):
    code = "job_not_finished"


class JobFailedError(InvalidRequestError):
    code = "job_failed"


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


class TextMismatchError(StenoError):
    code = "text_does_not_match"


class JobQuotaError(StenoError):
    code = "job_quota_exceeded"


class JobStorageError(StenoError):
    code = "job_storage_failed"


class ArchiveError(StenoError):
    code = "archive_failed"


class ManifestError(ArchiveError):
    code = "invalid_manifest"


class StageNotReadyError(ArchiveError):
    code = "stage_not_ready"


class RetryableError(StenoError):
    """A retry may succeed; `retry_after_s` is an estimate, in seconds."""

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
