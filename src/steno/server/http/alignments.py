"""`POST /v1/audio/alignments`: lyrics or a script, timed line by line."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from steno.captions.line_formats import LINE_FILES, render_lines
from steno.pipelines.known_text import KnownTextAlignment, KnownTextOptions, LineAlignment, sheet_lines
from steno.server.http.alignment_json import AlignmentAnswer, alignment_answer, line_segments
from steno.server.http.answer import Answer
from steno.server.http.form_fields import FormRoute
from steno.server.http.forms import AlignmentForm
from steno.server.http.openapi import ALIGNMENT, REFUSALS
from steno.server.http.recording_work import RecordingCall, RecordingWork
from steno.server.http.transcript_json import MAX_HEADER_CHARS
from steno.server.services import Services, services_of

router = APIRouter(tags=["audio"], route_class=FormRoute)


@router.post("/v1/audio/alignments", response_model=AlignmentAnswer, responses={**ALIGNMENT, **REFUSALS})
@router.post("/api/v1/align", response_model=AlignmentAnswer, responses={**ALIGNMENT, **REFUSALS})
async def alignments(
    request: Request, form: Annotated[AlignmentForm, Depends()], services: Annotated[Services, Depends(services_of)]
) -> Response:
    """Find when each line of a known text is said: lyrics with one chorus and a song with three, or a script."""
    return await ALIGNMENT_WORK.respond(request, form, services)


def _options(form: AlignmentForm, services: Services) -> KnownTextOptions:
    services.check_model(form.model)
    return form.options(services.engine)


async def _align(form: AlignmentForm, call: RecordingCall) -> Answer:
    services = call.services
    options = _options(form, services)
    lines = await asyncio.to_thread(sheet_lines, form.text)
    async with KnownTextAlignment(
        services.engine, services.recordings, call.recording, lines, call.ticket, options, services.max_stretch_s
    ) as alignment:
        await alignment.open()
        await call.ticket.ready()
        done = await alignment.run(call.report)
        call.measured(done.audio_s)
        call.times.add_all(done.timings_s)
    return await asyncio.to_thread(_format, form, done, call)


ALIGNMENT_WORK = RecordingWork("alignment", AlignmentForm, _options, _align)


def _format(form: AlignmentForm, done: LineAlignment, call: RecordingCall) -> Answer:
    """Runs in a thread: the words of hours take tenths of a second."""
    with call.times.measure("write"):
        return _formatted(form, done, call)


def _formatted(form: AlignmentForm, done: LineAlignment, call: RecordingCall) -> Answer:
    headers = {"X-Alignment-Method": done.method, "X-Match-Ratio": f"{done.match_ratio:.3f}"}
    if done.warnings:
        text = "; ".join(done.warnings).encode("ascii", "replace").decode()
        headers["X-Steno-Warnings"] = text[:MAX_HEADER_CHARS]
    if form.response_format == "json":
        return Answer(alignment_answer(done, call.times).model_dump_json().encode(), "application/json", headers)
    file = LINE_FILES[form.response_format]
    style = call.services.style(form.max_line_chars, form.max_lines)
    text = render_lines(form.response_format, line_segments(done.lines), style, done.audio_s, done.language)
    return Answer(text.encode(), file.media_type, headers, file.extension)
