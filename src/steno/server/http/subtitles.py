"""`POST /v1/audio/subtitles`: a subtitle file of a recording."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from steno.pipelines.file import FileOptions
from steno.pipelines.request_checks import check_language
from steno.pipelines.subtitle import subtitles_of
from steno.server.http import upload
from steno.server.http.caption_response import caption_response
from steno.server.http.form_fields import FormRoute
from steno.server.http.forms import SubtitleForm
from steno.server.http.openapi import CAPTIONS, REFUSALS
from steno.server.http.transcript_json import result_headers
from steno.server.services import Services, services_of
from steno.types import Transcript

router = APIRouter(tags=["audio"], route_class=FormRoute)


@router.post("/v1/audio/subtitles", response_class=Response, responses={**CAPTIONS, **REFUSALS})
async def subtitles(
    request: Request, form: Annotated[SubtitleForm, Depends()], services: Annotated[Services, Depends(services_of)]
) -> Response:
    """Subtitles of a recording: SRT, VTT, LRC or TSV. `X-Timing-Mode` reports the source of the times."""
    engine = services.engine
    services.check_model(form.model)
    headers = await upload.ignored(request, form, services)
    language = check_language(form.language, engine.capabilities, engine.backend.name)
    options = FileOptions(language, words=form.mode == "accurate", track=form.track)
    transcript = await (await upload.begin(request, form.file, options, services)).transcript()
    headers |= result_headers(transcript)
    return await asyncio.to_thread(_format, form, transcript, headers, services)


def _format(form: SubtitleForm, transcript: Transcript, headers: dict[str, str], services: Services) -> Response:
    """Runs in a thread: the cues of four hours take most of a second."""
    result = subtitles_of(transcript, services.style(form.max_line_chars, form.max_lines), form.mode)
    return caption_response(
        result.cues,
        form.response_format,
        result.timing,
        headers,
        language=transcript.language,
        upload=form.file.filename,
    )
