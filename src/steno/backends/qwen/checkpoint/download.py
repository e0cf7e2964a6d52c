"""A file over HTTP that goes on where an earlier try, in this process or another, ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

TRIES = 5
"""In a row without a single new byte, before it is given up."""
WAIT_S = 1.0
"""Before the second of them; each further wait is twice as long."""
TIMEOUT = httpx.Timeout(10.0, read=30.0)


@dataclass(frozen=True, slots=True)
class DownloadUrl:
    """Where to fetch, and with which headers."""

    url: str
    headers: dict[str, str]


def fetch(place: Callable[[], DownloadUrl], part: Path, size: int, told: Callable[[int], None]) -> None:
    """Bring `part` to `size` bytes.

    Args:
        place: asked before each try: addresses expire.
        part: what is there of the file already is not fetched again. It stays when this raises.
        told: called with the bytes that are there; what it raises ends the download.

    Raises:
        httpx.HTTPError: the last of the tries' errors.
    """
    failures = 0
    while (begun := _size(part)) != size:
        if begun > size:
            part.unlink()
            begun = 0
        try:
            _append(place(), part, begun, size, told)
        except httpx.HTTPError as error:
            failures = 1 if begun < _size(part) < size else failures + 1
            if failures >= TRIES or _is_refusal(error):
                raise
            if failures > 1:
                time.sleep(WAIT_S * 2 ** (failures - 2))
    part.touch()


def _append(place: DownloadUrl, part: Path, begun: int, size: int, told: Callable[[int], None]) -> None:
    headers = {**place.headers, "Accept-Encoding": "identity"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
    with httpx.stream("GET", place.url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        there = begun if resumed else 0
        with part.open("ab" if resumed else "wb") as file:
            for chunk in response.iter_raw():
                file.write(chunk)
                there += len(chunk)
                told(there)
    if there != size:
        raise httpx.RemoteProtocolError(f"{there} bytes came of a file of {size}")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _is_refusal(error: httpx.HTTPError) -> bool:
    """Whether asking again is of no use."""
    if not isinstance(error, httpx.HTTPStatusError):
        return False
    return error.response.status_code < 500 and error.response.status_code not in (408, 429)
