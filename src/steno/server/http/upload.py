"""Starts the transcription of an upload, for all routes that take a recording."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import fields
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO, cast

from fastapi import Request, UploadFile
from starlette.datastructures import UploadFile as StarletteFile

from steno.errors import InvalidRequestError, StenoError, UnsupportedFeatureError
from steno.pipelines.file import FileOptions, FileTranscription
from steno.server.http.error_response import about_file
from steno.server.http.form_fields import storing
from steno.server.http.forms import RecordingForm
from steno.server.middleware.upload_admission import admitted_upload_of
from steno.server.services import Services

if TYPE_CHECKING:
    from steno.outbound.fetch import UrlFetcher

MAX_UNKNOWN = 20
SPOOL_BYTES = 2**20
"""A larger recording goes to disk, as a form's file does."""
_SPEAKERS = ("known_speaker_names", "known_speaker_references", "diarize")
ALIASES = {
    "granularities": "timestamp_granularities[]",
    "include": "include[]",
    "keywords": "keywords[]",
    "languages": "languages[]",
    "known_speaker_names": "known_speaker_names[]",
    "known_speaker_references": "known_speaker_references[]",
}


async def begin(request: Request, recording: BinaryIO, options: FileOptions, services: Services) -> FileTranscription:
    """Decode the first piece and load the model, so that failures are reported before the response starts.

    The transcription is closed with the request (`AdmittedUpload.cleanup`).

    Raises:
        AudioError: the recording cannot be used.
        ModelLoadError: the model cannot be loaded.
    """
    admitted = admitted_upload_of(request.scope)
    reader = services.recordings.open(recording, options.track)
    transcription = FileTranscription.on(services.engine, reader, admitted.ticket, options)
    await admitted.cleanup.enter_async_context(transcription)
    await transcription.open()
    await admitted.ticket.ready()
    return transcription


async def recording_of(request: Request, form: RecordingForm, services: Services) -> UploadFile:
    """The form's recording, or that at its `audio_url`.

    Raises:
        InvalidRequestError: it has none, or several.
        UrlRefusedError, UrlFetchError, AudioTooLargeError: the URL cannot be used.
    """
    await check_single(request)
    if form.audio_url is None:
        return file_of(request, form.file)
    if form.file is not None:
        raise InvalidRequestError("expected either 'file' or 'audio_url', not both", param="audio_url")
    return await fetched(form.audio_url, request, services, "audio_url")


def file_of(request: Request, file: object) -> UploadFile:
    """The value of the field `file`. Raises InvalidRequestError: it is missing, or no file."""
    if not isinstance(file, StarletteFile):
        raise InvalidRequestError(about_file(request, file, "file"), param="file")
    return cast("UploadFile", file)


def check_url(url: str, services: Services, param: str = "audio_url") -> UrlFetcher:
    """The fetcher of an allowed URL.

    Raises:
        UnsupportedFeatureError: the server fetches nothing.
        UrlRefusedError: the URL is not allowed.
    """
    if services.urls is None:
        text = "recordings at URLs are not supported by this server (ALLOW_URLS); send the recording itself"
        raise UnsupportedFeatureError(text, param=param)
    services.urls.check(url)
    return services.urls


async def fetched(url: str, request: Request, services: Services, param: str) -> UploadFile:
    """The recording at `url`, in a temporary file that ends with the request. Raises as `recording_of`."""
    admitted = admitted_upload_of(request.scope)
    file = spooled()
    admitted.cleanup.push_async_callback(file.close)
    try:
        fetcher = check_url(url, services, param)
        with storing():
            file.filename = await fetcher.fetch(url, file.file, admitted.ticket.time_left_s())
    except StenoError as error:
        error.param = param
        raise
    await file.seek(0)
    return file


def spooled() -> UploadFile:
    """An empty temporary file, in memory until it is large, as a form's file is. Close it."""
    return UploadFile(SpooledTemporaryFile(SPOOL_BYTES))  # type: ignore[arg-type]  # a BinaryIO in all but name


async def check_single(request: Request, field: str = "file") -> None:
    """Raises InvalidRequestError if the form has several recordings."""
    if len((await request.form()).getlist(field)) > 1:
        raise InvalidRequestError(f"several files are not supported; expected one field {field!r}", param=field)


async def ignored(request: Request, form: RecordingForm, services: Services) -> dict[str, str]:
    """The header that lists fields without effect; empty if there are none.

    Raises:
        UnsupportedFeatureError: see `check_speaker_fields`.
    """
    known = {ALIASES.get(field.name, field.name) for field in fields(form)}
    unknown = [name for name in dict.fromkeys((await request.form()).keys()) if name not in known]
    check_speaker_fields(unknown, known)
    names = [*form.ignored(services.engine.capabilities), *unknown]
    return {"X-Steno-Ignored": header_names(names)} if names else {}


def check_speaker_fields(unknown: Iterable[str], known: Container[str]) -> None:
    """Raises UnsupportedFeatureError: one of the `unknown` fields requests speakers. Ignoring it would change the
    result's meaning."""
    for name in unknown:
        if not name.startswith(_SPEAKERS):
            continue
        text = f"{name[:50]} is not supported here; omit it"
        if "diarize" in known:
            text += ", or transcribe (/v1/audio/transcriptions, kind=transcription) with response_format=srt or vtt"
        raise UnsupportedFeatureError(text, param=name[:50])


def header_names(names: list[str]) -> str:
    """Names that clients sent, as a header's value."""
    return ", ".join(re.sub(r"[^\w\[\]-]", "_", name, flags=re.ASCII)[:50] for name in names[:MAX_UNKNOWN])
