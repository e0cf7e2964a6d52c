"""HTTP download of a large file that resumes where an earlier try, in this process or another, ended.

huggingface_hub (read: 2.4) resumes only within one call: when a call fails or its process ends, it deletes the partial
file, so that a download of several GB starts over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

TRIES = 5
"""Consecutive tries without a new byte before the download fails."""
WAIT_S = 1.0
"""Wait before the second try without a new byte; doubles with each further one."""
TIMEOUT = httpx.Timeout(10.0, read=30.0)


@dataclass(frozen=True, slots=True)
class DownloadUrl:
    """URL and headers of a GET request."""

    url: str
    headers: dict[str, str]


def fetch(resolve_url: Callable[[], DownloadUrl], partial: Path, size: int, on_progress: Callable[[int], None]) -> None:
    """Download until `partial` has `size` bytes.

    Args:
        resolve_url: called before each try, because download URLs expire.
        partial: the file so far; its bytes are not fetched again. It is kept when this raises.
        on_progress: called with the number of bytes received; an exception from it ends the download.

    Raises:
        httpx.HTTPError: the error of the last try.
    """
    failures = 0
    while (resumed_at := _size(partial)) != size:
        if resumed_at > size:
            partial.unlink()
            resumed_at = 0
        try:
            _fetch_once(resolve_url(), partial, resumed_at, size, on_progress)
        except httpx.HTTPError as error:
            failures = 1 if resumed_at < _size(partial) < size else failures + 1
            if failures >= TRIES or _is_refusal(error):
                raise
            if failures > 1:
                time.sleep(WAIT_S * 2 ** (failures - 2))
    partial.touch()


def _fetch_once(
    resolve_url: DownloadUrl, partial: Path, resumed_at: int, size: int, on_progress: Callable[[int], None]
) -> None:
    headers = {**resolve_url.headers, "Accept-Encoding": "identity"}
    if resumed_at:
        headers["Range"] = f"bytes={resumed_at}-"
    with httpx.stream("GET", resolve_url.url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        received = resumed_at if resumed else 0
        with partial.open("ab" if resumed else "wb") as file:
            for chunk in response.iter_raw():
                file.write(chunk)
                received += len(chunk)
                on_progress(received)
    if received != size:
        raise httpx.RemoteProtocolError(f"received {received} bytes of a file of {size}")


def _size(partial: Path) -> int:
    return partial.stat().st_size if partial.exists() else 0


def _is_refusal(error: httpx.HTTPError) -> bool:
    """Whether a retry is pointless: a 4xx status other than 408 and 429."""
    if not isinstance(error, httpx.HTTPStatusError):
        return False
    return error.response.status_code < 500 and error.response.status_code not in (408, 429)
