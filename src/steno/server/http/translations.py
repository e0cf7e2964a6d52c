"""`POST /v1/audio/translations`: OpenAI's API, into any language that the LLM supports."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse

from steno.captions.formats import FormatName
from steno.pipelines.file import FileOptions
from steno.pipelines.request_checks import check_language, check_target, parse_glossary
from steno.pipelines.subtitle import subtitles_of
from steno.pipelines.translate import (
    TranslatedTranscript,
    check_configured,
    needs_llm,
    translate_cues,
    translate_transcript,
)
from steno.server.http import upload
from steno.server.http.caption_response import caption_response
from steno.server.http.form_fields import FormRoute
from steno.server.http.forms import TranslationForm
from steno.server.http.openapi import REFUSALS, TRANSLATION
from steno.server.http.transcript_json import json_response, json_transcript, result_headers, verbose_transcript
from steno.server.middleware.upload_admission import admitted_upload_of
from steno.server.services import Services, services_of
from steno.translation.translator import LanguagePair
from steno.types import Transcript

router = APIRouter(tags=["audio"], route_class=FormRoute)
FormDep = Annotated[TranslationForm, Depends()]
ServicesDep = Annotated[Services, Depends(services_of)]

MAX_HEADER = 2000


@router.post("/v1/audio/translations", response_class=Response, responses={**TRANSLATION, **REFUSALS})
async def translations(request: Request, form: FormDep, services: ServicesDep) -> Response:
    """Translate a recording. Lines that fail to translate keep their source text; `X-Untranslated` lists them."""
    engine = services.engine
    services.check_model(form.model)
    target, glossary = check_target(form.language), parse_glossary(form.glossary)
    source = check_language(form.source_language, engine.capabilities, engine.backend.name)
    if needs_llm(target, source, engine.capabilities.languages):
        check_configured(services.translator, target)
    headers = await upload.ignored(request, form, services)
    context = form.prompt if engine.capabilities.context else ""
    transcription = await upload.begin(
        request, form.file, FileOptions(source, context, words=True, track=form.track), services
    )
    transcript = await transcription.transcript()
    srt = form.response_format in ("srt", "vtt")
    temperature = services.caption_temperature if srt else services.text_temperature
    languages = LanguagePair(target, transcript.language, glossary, temperature)
    headers |= result_headers(transcript)
    if srt:
        return await _captions(request, form, services, transcript, languages, headers)
    return await _text(request, form, services, transcript, languages, headers)


async def _captions(
    request: Request,
    form: TranslationForm,
    services: Services,
    transcript: Transcript,
    languages: LanguagePair,
    headers: dict[str, str],
) -> Response:
    style = services.style(form.max_line_chars, form.max_lines)
    subtitles = await asyncio.to_thread(subtitles_of, transcript, style, form.mode)
    form_name: FormatName = "vtt" if form.response_format == "vtt" else "srt"
    ticket = admitted_upload_of(request.scope).ticket
    done = await translate_cues(
        subtitles.cues, services.translator, languages, style, bilingual=form.bilingual, ticket=ticket
    )
    headers |= _flags(done.untranslated)
    return await asyncio.to_thread(
        caption_response,
        done.cues,
        form_name,
        subtitles.timing,
        headers,
        language=languages.target,
        upload=form.file.filename,
    )


async def _text(
    request: Request,
    form: TranslationForm,
    services: Services,
    transcript: Transcript,
    languages: LanguagePair,
    headers: dict[str, str],
) -> Response:
    ticket = admitted_upload_of(request.scope).ticket
    done = await translate_transcript(transcript, services.translator, languages, ticket)
    headers |= _flags(done.untranslated)
    return await asyncio.to_thread(_format, form, done, headers)


def _format(form: TranslationForm, done: TranslatedTranscript, headers: dict[str, str]) -> Response:
    if form.response_format == "text":
        return PlainTextResponse(done.transcript.text + "\n", headers=headers)
    if form.response_format == "json":
        return json_response(json_transcript(done.transcript, logprobs=False), headers)
    verbose = verbose_transcript(done.transcript, {"segment"})
    verbose.task = "translate"
    for segment in verbose.segments or []:
        segment.translated = segment.id not in done.untranslated
    return json_response(verbose, headers)


def _flags(untranslated: dict[int, str]) -> dict[str, str]:
    """`X-Untranslated`: numbers of the lines that kept their source text, as `3,7-9`."""
    runs: list[list[int]] = []
    for number in sorted(untranslated):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    text = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
    return {"X-Untranslated": text[:MAX_HEADER]} if text else {}
