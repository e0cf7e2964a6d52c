"""Reads recordings from object stores (`s3://bucket/key`) through fsspec, with the server's own credentials."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from typing import Any, BinaryIO

from steno.errors import AudioTooLargeError, UrlFetchError

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
"""The package that fsspec needs for a scheme. No other scheme is supported: some of fsspec's read local files."""
CHUNK = 2**20


def too_large(max_bytes: int) -> AudioTooLargeError:
    return AudioTooLargeError(f"the recording is larger than the maximum of {max_bytes / 2**20:g} MiB")


def missing(scheme: str) -> str | None:
    """What the scheme needs that is not installed; None = nothing."""
    package = PACKAGES[scheme]
    return None if importlib.util.find_spec(package) else f"{scheme}:// needs {package}: pip install {package}"


async def copy(url: str, into: BinaryIO, max_bytes: int) -> None:
    """Write the object at `url` into `into`. Cancelling it stops the thread after its chunk.

    Raises:
        UrlFetchError: there is no such object, or it cannot be read.
        AudioTooLargeError: it is larger than `max_bytes`.
    """
    stopped = threading.Event()
    try:
        await asyncio.to_thread(_copy, url, into, max_bytes, stopped)
    finally:
        stopped.set()


def _copy(url: str, into: BinaryIO, max_bytes: int, stopped: threading.Event) -> None:
    import fsspec

    size = 0
    try:
        with fsspec.open(url, "rb") as source:
            while not stopped.is_set() and (chunk := _read(source)):
                size += len(chunk)
                if size > max_bytes:
                    raise too_large(max_bytes)
                into.write(chunk)
    except AudioTooLargeError:
        raise
    except Exception as error:  # each store has its own errors
        raise UrlFetchError(f"the object could not be read: {str(error)[:200] or type(error).__name__}") from error


def _read(source: Any) -> bytes:
    return bytes(source.read(CHUNK))
