"""A stored job, and its states."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from steno.errors import StenoError


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why a job failed: `StenoError` as data."""

    code: str
    message: str
    param: str | None = None

    @classmethod
    def of(cls, error: StenoError) -> JobFailure:
        return cls(error.code, error.message, error.param)


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a job has made: a body, and what its HTTP response says about it."""

    body: bytes
    media_type: str
    headers: dict[str, str]
    extension: str | None
    """Of a file that clients save, like `.srt`; None = it is no file."""
    timings: dict[str, float] = field(default_factory=dict)
    """Where the time of the last attempt went, as `timings` in JSON."""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job as it is stored. Times are Unix seconds."""

    id: str
    owner: str
    """Who may see it: a digest of the API key; empty without keys."""
    kind: str
    options: dict[str, Any]
    """The form's fields, as the client sent them."""
    recording_name: str | None
    audio_url: str | None
    """Where the recording is fetched from, if the client did not send it."""
    state: JobState = JobState.QUEUED
    created: float = 0.0
    started: float | None = None
    """Start of the present, or last, attempt."""
    finished: float | None = None
    attempts: int = 0
    step: str = ""
    """What is being done, like `recognize`."""
    progress: float = 0.0
    """Share of the step that is done, in [0, 1]."""
    audio_s: float | None = None
    """Length of the recording, once it is known."""
    timings: dict[str, float] = field(default_factory=dict)
    """As `JobResult.timings`; empty before the job has succeeded."""
    failure: JobFailure | None = None
    idempotency_key: str | None = None
    recording_digest: str | None = None
    """Of the recording, if there is an idempotency key."""
    callback_url: str | None = None
    callback: CallbackState = field(default_factory=lambda: CallbackState())


@dataclass(frozen=True, slots=True)
class CallbackState:
    """What became of a job's callback."""

    attempts: int = 0
    delivered: float | None = None
    """When it was accepted, in Unix seconds; None = not yet."""
    next_attempt: float | None = None
    """None = there will be none."""
    problem: str | None = None
    """Why the last attempt failed."""
