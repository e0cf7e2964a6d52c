"""`POST /v1/listen`: a recording as Deepgram's SDKs send it, as the raw body, with options in the query."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO, cast
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response, UploadFile
from pydantic import BaseModel, TypeAdapter

from steno.audio.signatures import file_format
from steno.errors import InvalidRequestError
from steno.server.http import upload
from steno.server.http.deepgram_answer import Receipt, listen_answer
from steno.server.http.error_response import request_id_of
from steno.server.http.form_fields import storing
from steno.server.http.headered_samples import HeaderedSamples
from steno.server.http.listen_options import ListenOptions, listen_options
from steno.server.middleware.upload_admission import admitted_upload_of
from steno.server.services import Services, services_of
from steno.types import Transcript

router = APIRouter(tags=["audio"])

JSON = TypeAdapter(dict[str, Any])
HEAD_BYTES = 16
MAX_JSON_BYTES = 16 * 1024
HASHED_BYTES = 2**20


class DeepgramError(BaseModel):
    err_code: str
    err_msg: str
    request_id: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": DeepgramError} for status in (400, 401, 403, 408, 413, 429, 500, 503, 504, 507)
}
BODY = {
    "requestBody": {
        "description": "The recording: any audio or video file, or raw samples with `encoding` and `sample_rate`; or "
        "JSON with its `url`.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": {"type": "object", "properties": {"url": {"type": "string"}}}},
        },
        "required": True,
    }
}


@router.post("/v1/listen", response_class=Response, responses=REFUSALS, openapi_extra=BODY)
async def listen(request: Request, services: Annotated[Services, Depends(services_of)]) -> Response:
    """Transcribe a recording: Deepgram's pre-recorded API. The options are in the query."""
    query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    options = listen_options(query, services.engine, services.check_model)
    if _kind(request) == "application/json":
        file = await upload.fetched(await _url(request), request, services, "url")
        sha256, head = await asyncio.to_thread(_digest, file.file)
    else:
        file, sha256, head = await _received(request)
    raw = options.raw if head and file_format(head) is None else None
    recording = file.file if raw is None else cast("BinaryIO", HeaderedSamples(file.file, raw))
    times = services.stage_times()
    transcription = await upload.begin(request, recording, options.file, services)
    receipt = Receipt(request_id_of(request.scope), sha256, datetime.now(UTC))
    transcript = await transcription.transcript()
    times.add_all(transcript.timings_s)
    with times.measure("write"):
        response = await asyncio.to_thread(_answer, transcript, options, receipt)
    response.headers["Server-Timing"] = times.header()
    return response


def _kind(request: Request) -> str:
    """The body's media type. Raises InvalidRequestError for a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("multipart/"):
        text = "send the audio itself as the body; forms go to /v1/audio/transcriptions"
        raise InvalidRequestError(text, param="body")
    return kind


async def _url(request: Request) -> str:
    """The URL in a body like `{"url": "https://example.org/talk.mp3"}`."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise InvalidRequestError(f"the JSON body is larger than {MAX_JSON_BYTES} bytes", param="url")
    try:
        url = json.loads(body)["url"]
    except (ValueError, KeyError, TypeError, RecursionError):
        url = None
    if not isinstance(url, str):
        raise InvalidRequestError('invalid JSON body; expected {"url": "https://…"}', param="url")
    return url


async def _received(request: Request) -> tuple[UploadFile, str, bytes]:
    """The body in a temporary file that ends with the request, its SHA-256, and how it begins."""
    file = upload.spooled()
    digest, head = hashlib.sha256(), b""
    try:
        async for chunk in request.stream():
            digest.update(chunk)
            head += chunk[: HEAD_BYTES - len(head)]
            with storing():
                await file.write(chunk)
        admitted_upload_of(request.scope).cleanup.push_async_callback(file.close)
    except BaseException:
        await file.close()
        raise
    await file.seek(0)
    return file, digest.hexdigest(), head


def _digest(file: BinaryIO) -> tuple[str, bytes]:
    """The file's SHA-256, and how it begins."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(HASHED_BYTES):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest(), head


def _answer(transcript: Transcript, options: ListenOptions, receipt: Receipt) -> Response:
    """In a thread: hours of words take a while."""
    body = JSON.dump_json(listen_answer(transcript, options, receipt))  # `json` holds the GIL five times as long
    headers = {"X-Steno-Ignored": ", ".join(options.ignored)} if options.ignored else {}
    return Response(body, media_type="application/json", headers=headers)
