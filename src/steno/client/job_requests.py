"""The HTTP requests of stored jobs, for both clients, and when a lost event stream is opened again."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from steno.client.exceptions import ConnectionLostError, ServerError
from steno.client.job_status import JobStatus
from steno.errors import InvalidRequestError

JOBS = "/v1/jobs"
PAGE = 100
"""Max jobs of a response."""
RECONNECT_S = 300.0
FIRST_PAUSE_S, MAX_PAUSE_S = 0.25, 15.0
SILENCE_S = 60.0
"""A stream without an event or a ping for so long is lost; the server sends a ping every 15 s."""
TEMPORARY = (408, 429, 500, 502, 503, 504)
"""Statuses of a server, or of a proxy before it, that may be back soon."""


def job_path(job_id: str, part: str = "") -> str:
    return f"{JOBS}/{quote(job_id, safe='')}{part}"


def is_url(source: str | Path) -> bool:
    return isinstance(source, str) and "://" in source


def submission_fields(
    kind: str, options: Mapping[str, Any], callback_url: str | None, idempotency_key: str | None
) -> dict[str, Any]:
    """Form fields of a new job. Options that are None are left out; a list becomes a repeated field."""
    own = {"kind": kind, "callback_url": callback_url, "idempotency_key": idempotency_key}
    return {name: _field(value) for name, value in {**options, **own}.items() if value is not None}


def url_only(fields: Mapping[str, Any], url: str) -> list[tuple[str, tuple[None, str]]]:
    """A multipart form without a file, as the `files` of a request."""
    form = {**fields, "audio_url": url}
    return [
        (name, (None, text)) for name, value in form.items() for text in (value if isinstance(value, list) else [value])
    ]


class JobPages:
    """Collects the pages of a list of jobs.

    Args:
        limit: max jobs; None = all.
    """

    def __init__(self, limit: int | None) -> None:
        if limit is not None and limit < 1:
            raise InvalidRequestError(f"invalid limit {limit}; expected at least 1", param="limit")
        self._limit = limit
        self._found: dict[str, JobStatus] = {}
        self._last: JobStatus | None = None
        self.has_more = True

    @property
    def query(self) -> dict[str, str]:
        """Of the next page."""
        missing = PAGE if self._limit is None else min(self._limit - len(self._found), PAGE)
        before = {"before": repr(self._last.created_at)} if self._last is not None else {}
        return {"limit": str(missing), **before}

    @property
    def jobs(self) -> list[JobStatus]:
        return list(self._found.values())

    def add(self, answer: Any) -> None:
        """Take a page. Raises ServerError: it is no list of jobs."""
        try:
            page, has_more = [JobStatus.of(job) for job in answer["data"]], bool(answer["has_more"])
        except (KeyError, TypeError):
            raise ServerError("invalid response; expected a list of jobs: is this a steno server?") from None
        before = len(self._found)
        self._found.update((job.id, job) for job in page)
        self._last = page[-1] if page else None
        is_full = self._limit is not None and len(self._found) >= self._limit
        self.has_more = has_more and len(self._found) > before and not is_full


class JobStream:
    """What is known of one event stream, over all its connections.

    Args:
        reconnect_s: how long to try to get the connection back.
    """

    def __init__(self, reconnect_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._reconnect_s = reconnect_s
        self._clock = clock
        self._heard_at: float | None = None
        self._pause_s = FIRST_PAUSE_S

    def read(self, line: str) -> JobStatus | None:
        """The job of a line of the stream; None if the line describes none. Raises ServerError."""
        self._heard_at, self._pause_s = self._clock(), FIRST_PAUSE_S
        if not line.startswith("data:"):
            return None
        try:
            return JobStatus.of(json.loads(line.removeprefix("data:")))
        except ValueError:
            raise ServerError("invalid event; expected a job as JSON") from None

    def pause_s(self, error: ServerError | None) -> float:
        """How long to wait before the next connection.

        Args:
            error: why the last one ended; None = the server closed it.

        Raises:
            ServerError: it cannot be had again, or never was there.
            ConnectionLostError: it has been lost for too long.
        """
        is_lost = error is None or error.status is None or error.status in TEMPORARY
        if error is not None and (self._heard_at is None or not is_lost):
            raise error
        now = self._clock()
        self._heard_at = now if self._heard_at is None else self._heard_at
        if now - self._heard_at >= self._reconnect_s:
            why = error.message if error is not None else "it closes the connection"
            raise ConnectionLostError(f"the server was lost for {self._reconnect_s:g} s: {why}")
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, MAX_PAUSE_S)
        return pause_s * random.uniform(0.75, 1.25)


def stream_timeout(response: httpx.Timeout) -> httpx.Timeout:
    """Time limits of an event stream."""
    return httpx.Timeout(SILENCE_S, connect=response.connect)


def _field(value: object) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return [str(each) for each in value] if isinstance(value, list | tuple) else str(value)
