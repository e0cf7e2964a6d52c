"""`POST /v1/audio/subtitles`: a subtitle file of a recording."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from steno.captions.formats import labels_in_text
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
    speakers = form.speakers(wanted=bool(form.diarize))
    words = form.mode == "accurate" or speakers is not None
    return FileOptions(language, words=words, track=form.track, speakers=speakers)


async def _subtitle(form: SubtitleForm, call: RecordingCall) -> Answer:
    transcript = await call.transcribe(_options(form, call.services))
    return await asyncio.to_thread(_format, form, transcript, call)


SUBTITLES = RecordingWork("subtitles", SubtitleForm, _options, _subtitle)


def _format(form: SubtitleForm, transcript: Transcript, call: RecordingCall) -> Answer:
    """Runs in a thread: the cues of four hours take most of a second."""
    with call.times.measure("write"):
        style, labels = call.services.style(form.max_line_chars, form.max_lines), form.shown_labels()
        made = subtitles_of(transcript, style, form.mode, labels_in_text(form.response_format, labels))
        headers, language = result_headers(transcript), transcript.language
        return caption_answer(made.cues, form.response_format, made.timing, headers, language=language, labels=labels)
