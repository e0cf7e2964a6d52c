"""`POST /v1/audio/transcriptions`: OpenAI's API, plain and as server-sent events, and an older event dialect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from loguru import logger

from steno.captions.formats import labels_in_text
from steno.errors import StenoError
from steno.pipelines.file import FileOptions, FileTranscription
from steno.pipelines.segments import separator
from steno.pipelines.subtitle import subtitles_of
from steno.server.http import error_response, sse, upload
from steno.server.http.answer import Answer, json_answer, text_answer
from steno.server.http.caption_answer import caption_answer
from steno.server.http.form_fields import FormRoute
from steno.server.http.forms import TranscriptionForm
from steno.server.http.known_voices import known_speakers
from steno.server.http.openapi import EVENTS, REFUSALS, TRANSCRIPT
from steno.server.http.recording_work import RecordingCall, RecordingWork
from steno.server.http.transcript_json import (
    diarized_segment,
    diarized_transcript,
    done_event,
    json_transcript,
    result_headers,
    segment_event,
    verbose_transcript,
)
from steno.server.services import Services, services_of
from steno.types import Segment, Transcript

router = APIRouter(tags=["audio"], route_class=FormRoute)
FormDep = Annotated[TranscriptionForm, Depends()]
ServicesDep = Annotated[Services, Depends(services_of)]


@router.post("/v1/audio/transcriptions", response_class=Response, responses={**TRANSCRIPT, **REFUSALS})
async def transcriptions(request: Request, form: FormDep, services: ServicesDep) -> Response:
    """Transcribe a recording. Compatible with OpenAI's SDKs; further fields are steno's."""
    if not form.stream:
        return await TRANSCRIPTION.respond(request, form, services)
    headers = await upload.ignored(request, form, services)
    form.check_speakers_are_shown()
    transcription = await _begin(request, form, services)
    events = _openai_events(transcription, request, logprobs=bool(form.include))
    return _event_stream(_timed(events, transcription, services), headers)


@router.post("/v1/audio/transcriptions/stream", response_class=Response, responses={**EVENTS, **REFUSALS})
async def transcriptions_stream(request: Request, form: FormDep, services: ServicesDep) -> Response:
    """Transcribe a recording as server-sent events of the older dialect: `{text, language, is_final, chunk_index}`."""
    transcription = await _begin(request, form, services)
    headers = await upload.ignored(request, form, services)
    return _event_stream(_timed(_older_events(transcription, request), transcription, services), headers)


async def _begin(request: Request, form: TranscriptionForm, services: Services) -> FileTranscription:
    """Validate the request and start the transcription, before the response starts."""
    options = await _with_known(_unchecked_options(form, services), form, services)
    file = await upload.recording_of(request, form, services)
    return await upload.begin(request, file.file, options, services)


def _options(form: TranscriptionForm, services: Services) -> FileOptions:
    form.check_speakers_are_shown()
    return _unchecked_options(form, services)


def _unchecked_options(form: TranscriptionForm, services: Services) -> FileOptions:
    services.check_model(form.model)
    form.names_voices()
    form.check_chunking()
    return form.options(services.engine)


async def _with_known(options: FileOptions, form: TranscriptionForm, services: Services) -> FileOptions:
    """The options, with the recordings of known speakers decoded."""
    if not form.names_voices() or options.speakers is None:
        return options
    voices = await asyncio.to_thread(form.known_voices)
    known = await known_speakers(voices, services.recordings)
    return replace(options, speakers=replace(options.speakers, known=known))


async def _transcribe(form: TranscriptionForm, call: RecordingCall) -> Answer:
    options = await _with_known(_options(form, call.services), form, call.services)
    transcript = await call.transcribe(options)
    return await asyncio.to_thread(_format, form, transcript, call)


TRANSCRIPTION = RecordingWork("transcription", TranscriptionForm, _options, _transcribe)


def _format(form: TranscriptionForm, transcript: Transcript, call: RecordingCall) -> Answer:
    """Runs in a thread: formatting takes up to a second."""
    with call.times.measure("write"):
        return _formatted(form, transcript, call)


def _formatted(form: TranscriptionForm, transcript: Transcript, call: RecordingCall) -> Answer:
    headers = result_headers(transcript)
    match form.response_format:
        case "text":
            return text_answer(transcript.text, headers)
        case "json":
            return json_answer(json_transcript(transcript, logprobs=bool(form.include)), headers)
        case "verbose_json":
            return json_answer(verbose_transcript(transcript, set(form.granularities or ()), call.times), headers)
        case "diarized_json":
            return json_answer(diarized_transcript(transcript), headers)
        case captions:
            style, labels = call.services.style(form.max_line_chars, form.max_lines), form.shown_labels()
            made = subtitles_of(transcript, style, form.mode, labels_in_text(captions, labels))
            language = transcript.language
            return caption_answer(made.cues, captions, made.timing, headers, language=language, labels=labels)


def _event_stream(events: AsyncIterator[bytes], headers: dict[str, str]) -> StreamingResponse:
    # nginx buffers event streams unless this header disables it.
    headers = {**headers, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(sse.with_pings(events), media_type="text/event-stream", headers=headers)


async def _timed(
    events: AsyncIterator[bytes], transcription: FileTranscription, services: Services
) -> AsyncIterator[bytes]:
    """The events; the metrics get the seconds of their stages at the end."""
    async for event in events:
        yield event
    services.stage_times().add_all(transcription.timings_s())


async def _openai_events(transcription: FileTranscription, request: Request, *, logprobs: bool) -> AsyncIterator[bytes]:
    previous = ""
    try:
        async for part in transcription.run():
            for segment in part.segments:
                delta = separator(previous, segment.text) + segment.text
                previous = segment.text
                yield sse.event({"type": "transcript.text.delta", "delta": delta})
                if not transcription.tells_speakers:
                    yield sse.event(segment_event(segment))
        for segment in transcription.so_far().segments if transcription.tells_speakers else ():
            yield sse.event(diarized_segment(segment).model_dump())
    except StenoError as error:
        yield _failure(error, request)
        return
    transcript = transcription.so_far()
    yield await asyncio.to_thread(_done_event, transcript, logprobs=logprobs)


def _done_event(transcript: Transcript, *, logprobs: bool) -> bytes:
    """Runs in a thread. pydantic serialises hours of words in 20 ms; `json` would hold the GIL for 100 ms."""
    return sse.encoded(done_event(transcript, logprobs=logprobs).model_dump_json(exclude_none=True))


async def _older_events(transcription: FileTranscription, request: Request) -> AsyncIterator[bytes]:
    index = 0
    try:
        async for part in transcription.run():
            for segment in () if transcription.tells_speakers else part.segments:
                yield sse.event(_older_chunk(segment, index))
                index += 1
        for segment in transcription.so_far().segments if transcription.tells_speakers else ():
            yield sse.event({**_older_chunk(segment, segment.id), "speaker": segment.speaker})
    except StenoError as error:
        yield _failure(error, request)
        return
    yield sse.event({"done": True})


def _older_chunk(segment: Segment, index: int) -> dict[str, Any]:
    return {"text": segment.text, "language": segment.language, "is_final": True, "chunk_index": index}


def _failure(error: StenoError, request: Request) -> bytes:
    logger.warning("a stream ended with {}: {}", error.code, error.message)
    return sse.event(error_response.body_of(error, error_response.request_id_of(request.scope)))
