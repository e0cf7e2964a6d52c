"""`POST /v1/audio/translations`: OpenAI's API, into any language that the LLM supports."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

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
from steno.server.http.answer import Answer, json_answer, text_answer
from steno.server.http.caption_answer import caption_answer
from steno.server.http.form_fields import FormRoute
from steno.server.http.forms import TranslationForm
from steno.server.http.openapi import REFUSALS, TRANSLATION
from steno.server.http.recording_work import RecordingCall, RecordingWork
from steno.server.http.transcript_json import json_transcript, result_headers, verbose_transcript
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
    return await TRANSLATION_WORK.respond(request, form, services)


@dataclass(frozen=True, slots=True)
class TranslationOptions:
    file: FileOptions
    target: str
    glossary: Mapping[str, str]


def _options(form: TranslationForm, services: Services) -> TranslationOptions:
    engine = services.engine
    services.check_model(form.model)
    target, glossary = check_target(form.language), parse_glossary(form.glossary)
    source = check_language(form.source_language, engine.capabilities, engine.backend.name)
    if needs_llm(target, source, engine.capabilities.languages):
        check_configured(services.translator, target)
    context = form.prompt if engine.capabilities.context else ""
    return TranslationOptions(FileOptions(source, context, words=True, track=form.track), target, glossary)


async def _translate(form: TranslationForm, call: RecordingCall) -> Answer:
    services = call.services
    options = _options(form, services)
    transcript = await call.transcribe(options.file)
    is_captions = form.response_format in ("srt", "vtt")
    temperature = services.caption_temperature if is_captions else services.text_temperature
    languages = LanguagePair(options.target, transcript.language, options.glossary, temperature)
    if is_captions:
        return await _captions(form, call, transcript, languages)
    with call.times.measure("translate"):
        done = await translate_transcript(transcript, services.translator, languages, call.ticket)
    return await asyncio.to_thread(_format, form, done, call)


TRANSLATION_WORK = RecordingWork("translation", TranslationForm, _options, _translate)


async def _captions(
    form: TranslationForm, call: RecordingCall, transcript: Transcript, languages: LanguagePair
) -> Answer:
    style = call.services.style(form.max_line_chars, form.max_lines)
    with call.times.measure("write"):
        made = await asyncio.to_thread(subtitles_of, transcript, style, form.mode)
    translator, ticket = call.services.translator, call.ticket
    with call.times.measure("translate"):
        done = await translate_cues(made.cues, translator, languages, style, bilingual=form.bilingual, ticket=ticket)
    headers = {**result_headers(transcript), **_flags(done.untranslated)}
    name: FormatName = "vtt" if form.response_format == "vtt" else "srt"
    with call.times.measure("write"):
        return await asyncio.to_thread(caption_answer, done.cues, name, made.timing, headers, language=languages.target)


def _format(form: TranslationForm, done: TranslatedTranscript, call: RecordingCall) -> Answer:
    """Runs in a thread."""
    with call.times.measure("write"):
        return _formatted(form, done, call)


def _formatted(form: TranslationForm, done: TranslatedTranscript, call: RecordingCall) -> Answer:
    headers = {**result_headers(done.transcript), **_flags(done.untranslated)}
    if form.response_format == "text":
        return text_answer(done.transcript.text, headers)
    if form.response_format == "json":
        return json_answer(json_transcript(done.transcript, logprobs=False), headers)
    verbose = verbose_transcript(done.transcript, {"segment"}, call.times)
    verbose.task = "translate"
    for segment in verbose.segments or []:
        segment.translated = segment.id not in done.untranslated
    return json_answer(verbose, headers)


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
