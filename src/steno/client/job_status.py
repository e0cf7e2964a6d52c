"""Stored jobs, as clients see them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self
from urllib.parse import unquote

import httpx

from steno.client.exceptions import ServerError

FINAL_STATES = ("succeeded", "failed", "cancelled")
_NAME = re.compile(r"filename\*=UTF-8''([^;]+)")


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job, as the server last described it. Times are Unix seconds."""

    id: str
    kind: str
    state: str
    """`queued`, `running`, `succeeded`, `failed` or `cancelled`."""
    created_at: float
    options: Mapping[str, Any]
    attempts: int
    progress: float
    """Share of the step that is done, in [0, 1]."""
    step: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    recording: str | None = None
    """Name of the file that was sent."""
    audio_url: str | None = None
    audio_s: float | None = None
    """Length of the recording, once it is known."""
    real_time_factor: float | None = None
    """Seconds of work for a second of audio."""
    time_left_s: float | None = None
    error: Mapping[str, Any] | None = None
    """`code` and `message` of a job that failed."""
    callback: Mapping[str, Any] | None = None
    """`url`, `attempts`, `delivered_at`, `problem`."""

    @classmethod
    def of(cls, answer: Any) -> Self:
        """Convert the server's JSON. Raises ServerError: it describes no job."""
        try:
            return cls(**{field.name: answer[field.name] for field in fields(cls) if field.name in answer})
        except TypeError:
            raise ServerError("invalid response; expected a job: is this a steno server?") from None

    @property
    def has_ended(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def source(self) -> str:
        """The recording's name or URL."""
        return self.recording or self.audio_url or self.id

    @property
    def problem(self) -> str | None:
        """Why the job failed, in a sentence."""
        return str(self.error.get("message")) if self.error else None


@dataclass(frozen=True, slots=True)
class JobOutput:
    """What a job has made."""

    content: bytes
    media_type: str
    file_name: str | None
    """For formats that are saved as files, such as `talk.srt`."""

    @property
    def text(self) -> str:
        return self.content.decode()


def output_of(response: httpx.Response) -> JobOutput:
    name = _NAME.search(response.headers.get("content-disposition", ""))
    return JobOutput(response.content, response.headers.get("content-type", ""), unquote(name[1]) if name else None)
