"""`POST /v1/audio/alignments`: lyrics or a script, timed line by line."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from steno.captions.line_formats import LINE_FILES, render_lines
from steno.pipelines.known_text import KnownTextAlignment, LineAlignment, sheet_lines
from steno.server.http import upload
from steno.server.http.alignment_json import AlignmentAnswer, alignment_answer, line_segments
from steno.server.http.caption_response import attachment
from steno.server.http.form_fields import FormRoute
from steno.server.http.forms import AlignmentForm
from steno.server.http.openapi import ALIGNMENT, REFUSALS
from steno.server.http.transcript_json import MAX_HEADER_CHARS, server_timing
from steno.server.middleware.upload_admission import admitted_upload_of
from steno.server.services import Services, services_of

router = APIRouter(tags=["audio"], route_class=FormRoute)


@router.post("/v1/audio/alignments", response_model=AlignmentAnswer, responses={**ALIGNMENT, **REFUSALS})
@router.post("/api/v1/align", response_model=AlignmentAnswer, responses={**ALIGNMENT, **REFUSALS})
async def alignments(
    request: Request, form: Annotated[AlignmentForm, Depends()], services: Annotated[Services, Depends(services_of)]
) -> Response:
    """Find when each line of a known text is said: lyrics with one chorus and a song with three, or a script."""
    services.check_model(form.model)
    headers = await upload.ignored(request, form, services)
    options = form.options(services.engine)
    await upload.check_single(request)
    lines = await asyncio.to_thread(sheet_lines, form.text)
    admitted = admitted_upload_of(request.scope)
    alignment = KnownTextAlignment(
        services.engine, services.recordings, form.file.file, lines, admitted.ticket, options, services.max_stretch_s
    )
    await admitted.cleanup.enter_async_context(alignment)
    await alignment.open()
    await admitted.ticket.ready()
    done = await alignment.run()
    return await asyncio.to_thread(_format, form, done, headers, services)


def _format(form: AlignmentForm, done: LineAlignment, headers: dict[str, str], services: Services) -> Response:
    """Runs in a thread: the words of hours take tenths of a second."""
    headers = {
        **headers,
        "Server-Timing": server_timing(done.timings_s),
        "X-Alignment-Method": done.method,
        "X-Match-Ratio": f"{done.match_ratio:.3f}",
    }
    if done.warnings:
        text = "; ".join(done.warnings).encode("ascii", "replace").decode()
        headers["X-Steno-Warnings"] = text[:MAX_HEADER_CHARS]
    if form.response_format == "json":
        return Response(alignment_answer(done).model_dump_json(), media_type="application/json", headers=headers)
    file = LINE_FILES[form.response_format]
    headers["Content-Disposition"] = attachment(form.file.filename, file.extension)
    style = services.style(form.max_line_chars, form.max_lines)
    text = render_lines(form.response_format, line_segments(done.lines), style, done.audio_s, done.language)
    return Response(text, media_type=file.media_type, headers=headers)
