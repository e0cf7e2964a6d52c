"""The raw files of recordings: where they are, and whether they have changed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from loguru import logger

from steno.archive.archive_folder import ArchiveFolder
from steno.archive.file_checksum import record_of
from steno.archive.manifest import FileRecord, RecordingManifest
from steno.errors import UrlRefusedError
from steno.outbound.fetch import UrlFetcher
from steno.whole_file import new_file, write_whole

SEEN = "raw.json"
"""Work file: size and time of raw files when their checksums were computed."""
LONGEST_SUFFIX = 8


class RawFiles:
    """Keeps the raw files in manifests current.

    Args:
        fetcher: fetches the recordings at URLs; None = none can be fetched.
    """

    def __init__(self, archive: ArchiveFolder, fetcher: UrlFetcher | None = None) -> None:
        self._archive = archive
        self._fetcher = fetcher

    async def refresh(self, recording: str) -> RecordingManifest:
        """Return the manifest, with the checksums of the raw files as they are now.

        A file of the same size and time as before is not read again; one that was read and is missing counts as
        unchanged, with a warning. A URL is fetched once.

        Raises:
            OSError: a file cannot be read.
            UrlRefusedError, UrlFetchError, AudioTooLargeError: a URL cannot be fetched.
        """
        manifest = self._archive.manifest(recording)
        raw = await self._current(manifest, manifest.source, manifest.raw)
        chat = None
        if manifest.chat_source is not None:
            chat = await self._current(manifest, manifest.chat_source, manifest.chat_raw)
        if (raw, chat) == (manifest.raw, manifest.chat_raw):
            return manifest

        def change(now: RecordingManifest) -> RecordingManifest:
            replaced = [old for old, new in ((now.raw, raw), (now.chat_raw, chat)) if old is not None and old != new]
            earlier = (*now.earlier_raw, *(old for old in replaced if old not in now.earlier_raw))
            return now.model_copy(update={"raw": raw, "chat_raw": chat, "earlier_raw": earlier})

        return await asyncio.to_thread(self._archive.update, recording, change)

    async def copy(self, recording: str) -> None:
        """Copy the recording and its chat into the archive. From then on, the copies are its raw files."""
        manifest = self._archive.manifest(recording)
        raw = await asyncio.to_thread(self._copy, recording, Path(manifest.source))
        chat = None
        if manifest.chat_source is not None:
            chat = await asyncio.to_thread(self._copy, recording, Path(manifest.chat_source))

        def change(now: RecordingManifest) -> RecordingManifest:
            old = [each for each in (now.raw, now.chat_raw) if each not in (None, raw, chat)]
            return now.model_copy(update={"raw": raw, "chat_raw": chat, "earlier_raw": (*now.earlier_raw, *old)})

        await asyncio.to_thread(self._archive.update, recording, change)

    async def _current(self, manifest: RecordingManifest, source: str, known: FileRecord | None) -> FileRecord:
        if known is not None and not os.path.isabs(known.path):  # a copy in the archive, which nothing changes
            return known
        if is_url(source):
            return await self._fetch(manifest.id, source)
        try:
            return await asyncio.to_thread(self._read, manifest.id, Path(source))
        except FileNotFoundError:
            if known is None:
                raise
            logger.warning("{} is missing; what was made of it is used", source)
            return known

    def _read(self, recording: str, path: Path) -> FileRecord:
        seen_file = self._archive.work_of(recording) / SEEN
        now = path.stat()
        mark = [now.st_size, now.st_mtime_ns]
        seen = _read_seen(seen_file)
        known = seen.get(str(path))
        if isinstance(known, dict) and known.get("mark") == mark:
            return FileRecord(path=str(path), sha256=known["sha256"], bytes=now.st_size)
        record = record_of(path, str(path))
        write_whole(seen_file, json.dumps({**seen, str(path): {"mark": mark, "sha256": record.sha256}}) + "\n")
        return record

    async def _fetch(self, recording: str, url: str) -> FileRecord:
        if self._fetcher is None:
            raise UrlRefusedError("recordings at URLs cannot be fetched here")
        folder = self._archive.folder_of(recording)
        part = self._archive.work_of(recording) / "fetched"
        with new_file(part, lasting=True) as file:
            await self._fetcher.fetch(url, file)
        return await asyncio.to_thread(_move, part, folder, PurePosixPath(urlsplit(url).path).suffix)

    def _copy(self, recording: str, source: Path) -> FileRecord:
        part = self._archive.work_of(recording) / "copied"
        with source.open("rb") as original, new_file(part, lasting=True) as file:
            shutil.copyfileobj(original, file, 2**20)
        return _move(part, self._archive.folder_of(recording), source.suffix)


def is_url(source: str) -> bool:
    return "://" in source


def _move(part: Path, folder: Path, suffix: str) -> FileRecord:
    """Name a file after its content: one that has changed does not replace the earlier one."""
    record = record_of(part, "raw")
    name = f"raw-{record.sha256[:16]}{suffix if len(suffix) <= LONGEST_SUFFIX else ''}"
    part.replace(folder / name)
    return record.model_copy(update={"path": name})


def _read_seen(path: Path) -> dict[str, Any]:
    try:
        seen = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return seen if isinstance(seen, dict) else {}
