"""`POST /v1/audio/subtitles`: a subtitle file of a recording."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from steno.pipelines.file import FileOptions
from steno.pipelines.request_checks import check_language
from steno.pipelines.subtitle import subtitles_of
from steno.server.http.answer import Answer
from steno.server.http.caption_answer import caption_answer
from steno.server.http.form_fields import FormRoute
from steno.server.http.forms import SubtitleForm
from steno.server.http.openapi import CAPTIONS, REFUSALS
from steno.server.http.recording_work import RecordingCall, RecordingWork
from steno.server.http.transcript_json import result_headers
from steno.server.services import Services, services_of
from steno.types import Transcript

router = APIRouter(tags=["audio"], route_class=FormRoute)


@router.post("/v1/audio/subtitles", response_class=Response, responses={**CAPTIONS, **REFUSALS})
async def subtitles(
    request: Request, form: Annotated[SubtitleForm, Depends()], services: Annotated[Services, Depends(services_of)]
) -> Response:
    """Subtitles of a recording: SRT, VTT, LRC or TSV. `X-Timing-Mode` reports the source of the times."""
    return await SUBTITLES.respond(request, form, services)


def _options(form: SubtitleForm, services: Services) -> FileOptions:
    services.check_model(form.model)
    engine = services.engine
    language = check_language(form.language, engine.capabilities, engine.backend.name)
    return FileOptions(language, words=form.mode == "accurate", track=form.track)


async def _subtitle(form: SubtitleForm, call: RecordingCall) -> Answer:
    transcript = await call.transcribe(_options(form, call.services))
    return await asyncio.to_thread(_format, form, transcript, call)


SUBTITLES = RecordingWork("subtitles", SubtitleForm, _options, _subtitle)


def _format(form: SubtitleForm, transcript: Transcript, call: RecordingCall) -> Answer:
    """Runs in a thread: the cues of four hours take most of a second."""
    with call.times.measure("write"):
        made = subtitles_of(transcript, call.services.style(form.max_line_chars, form.max_lines), form.mode)
        headers = result_headers(transcript)
        return caption_answer(made.cues, form.response_format, made.timing, headers, language=transcript.language)
