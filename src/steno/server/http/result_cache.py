"""Keeps answers on disk, by what they are the answer to: the recording's bytes, the options, the model.

The cache is an aid: where it cannot be read or written, the work is done as if it were not there.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import diskcache
from diskcache.core import MODE_PICKLE
from loguru import logger

from steno.server.http.answer import Answer
from steno.server.http.forms import RecordingForm

T = TypeVar("T")

READ_BYTES = 2**20
BUSY_S = 5.0
"""How long a write waits for another process that uses the same folder."""
UNCACHED = ("Server-Timing",)
"""Headers about the work that was done, which a later answer does not repeat."""
NOT_PART_OF_THE_KEY = ("file", "audio_url")


class ResultCache:
    """Close it.

    Args:
        folder: may be shared by processes.
        max_bytes: the least recently used answers are deleted beyond it.
        served_by: identifies the model, its settings and steno's version.
    """

    def __init__(self, folder: Path, max_bytes: int, served_by: str) -> None:
        self._cache = diskcache.Cache(
            str(folder),
            timeout=BUSY_S,
            disk=BytesDisk,
            size_limit=max_bytes,
            eviction_policy="least-recently-used",
        )
        self._served_by = served_by
        self._thread = ThreadPoolExecutor(1, "result-cache")  # diskcache has a connection for each thread

    async def aclose(self) -> None:
        await self._run(self._cache.close)
        self._thread.shutdown()

    async def key_of(self, recording: BinaryIO, work: str, form: RecordingForm, owner: str) -> str:
        """The key of an answer. `owner`: who may see it."""
        return await asyncio.to_thread(self._key_of, recording, work, form, owner)

    async def get(self, key: str) -> Answer | None:
        return await self._run(self._get, key)

    async def put(self, key: str, answer: Answer) -> bool:
        """Returns whether the answer is stored."""
        return await self._run(self._put, key, answer)

    async def _run(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _key_of(self, recording: BinaryIO, work: str, form: RecordingForm, owner: str) -> str:
        options = {each.name: getattr(form, each.name) for each in fields(form) if each.name not in NOT_PART_OF_THE_KEY}
        asked = json.dumps([self._served_by, owner, work, options], sort_keys=True)
        digest = hashlib.blake2b(asked.encode(), digest_size=32)
        recording.seek(0)
        while chunk := recording.read(READ_BYTES):
            digest.update(chunk)
        recording.seek(0)
        return digest.hexdigest()

    def _get(self, key: str) -> Answer | None:
        try:
            stored = self._cache.get(key)
            return _read(stored) if isinstance(stored, bytes) else None
        except Exception as error:  # noqa: BLE001 - sqlite's, the operating system's, or a damaged entry
            logger.warning("the result cache cannot be read: {}", error)
            return None

    def _put(self, key: str, answer: Answer) -> bool:
        try:
            return bool(self._cache.set(key, _written(answer)))
        except Exception as error:  # noqa: BLE001
            logger.warning("a result cannot be cached: {}", error)
            return False


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """Stores bytes alone. Pickles are not loaded: a process that can write to the folder could run code by one."""

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        if mode == MODE_PICKLE:
            raise ValueError("an entry is not of steno's")
        return super().fetch(mode, filename, value, read)


def _written(answer: Answer) -> bytes:
    headers = {name: value for name, value in answer.headers.items() if name not in UNCACHED}
    return json.dumps([answer.media_type, headers, answer.extension]).encode() + b"\n" + answer.body


def _read(stored: bytes) -> Answer:
    head, _, body = stored.partition(b"\n")
    media_type, headers, extension = json.loads(head)
    return Answer(body, media_type, headers, extension)
