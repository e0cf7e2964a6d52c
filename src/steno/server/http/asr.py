"""`POST /asr` and `/detect-language`, as whisper-asr-webservice has them: for Bazarr and others that speak to it.

Options are in the query. Those that choose between its engines (`vad_filter`, `video_file`) have no effect here.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Literal, cast

from fastapi import APIRouter, Depends, File, Query, Request, Response, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import TypeAdapter

from steno.audio.signatures import file_format
from steno.audio.wav_header import RawFormat
from steno.errors import InvalidRequestError, UnsupportedFeatureError
from steno.languages import name_of
from steno.pipelines.file import FileOptions, FileTranscription
from steno.pipelines.recording_speakers import MAX_SPEAKERS, SpeakerOptions
from steno.pipelines.request_checks import check_language
from steno.pipelines.subtitle import subtitles_of, words_of
from steno.server.http import upload
from steno.server.http.caption_answer import caption_answer
from steno.server.http.error_response import documented
from steno.server.http.form_fields import FormRoute
from steno.server.http.forms import MAX_CONTEXT, SpeakerForm, TranslationForm
from steno.server.http.headered_samples import HeaderedSamples
from steno.server.http.openapi import CAPTIONS, REFUSALS
from steno.server.http.transcript_json import wire_segment
from steno.server.http.translations import translations
from steno.server.services import Services, services_of
from steno.types import Segment, Transcript

router = APIRouter(tags=["audio"], route_class=FormRoute)
With = Annotated[Services, Depends(services_of)]
Recording = Annotated[UploadFile, File(description="The recording, or with `encode=false` 16 kHz PCM16 samples.")]
Encode = Annotated[bool, Query(description="`false`: the file holds raw samples (16 kHz, mono, 16 bits).")]
SpeakerLimit = Annotated[int | None, Query(ge=1, le=MAX_SPEAKERS)]
Output = Literal["txt", "vtt", "srt", "tsv", "json"]

JSON = TypeAdapter(dict[str, Any])
RAW = RawFormat("pcm_s16le", 16_000)
LINE_CHARS, LINES = 42, 2
HEAD_BYTES = 16
TRANSLATED: dict[Output, Literal["json", "text", "verbose_json", "srt", "vtt"]] = {
    "txt": "text",
    "vtt": "vtt",
    "srt": "srt",
    "json": "verbose_json",
}


@dataclass(slots=True)
class AsrQuery:
    """The options of `/asr`. For `Depends`."""

    encode: Encode = True
    task: Literal["transcribe", "translate"] = "transcribe"
    language: str | None = None
    initial_prompt: Annotated[str, Query(max_length=MAX_CONTEXT)] = ""
    word_timestamps: bool = False
    output: Output = "txt"
    diarize: bool = False
    min_speakers: SpeakerLimit = None
    max_speakers: SpeakerLimit = None

    def speakers(self) -> SpeakerOptions | None:
        """Raises InvalidRequestError: fields contradict each other."""
        if self.diarize and (self.output == "txt" or self.task == "translate"):
            text = "diarize goes with task=transcribe and another output than txt, which shows no speakers"
            raise InvalidRequestError(text, param="diarize")
        if not self.diarize:
            return None  # clients send the limits all the same
        return SpeakerForm(min_speakers=self.min_speakers, max_speakers=self.max_speakers).speakers(wanted=True)


@router.post("/asr", response_class=Response, responses={**CAPTIONS, **REFUSALS, **documented(414)})
async def asr(
    request: Request, audio_file: Recording, query: Annotated[AsrQuery, Depends()], services: With
) -> Response:
    """Transcribe a recording, or translate it into English."""
    speakers = query.speakers()
    await upload.check_single(request, "audio_file")
    file = await _readable(audio_file, encode=query.encode)
    if query.task == "translate":
        return await _translated(request, file, query, services)
    engine = services.engine
    language = check_language(query.language, engine.capabilities, engine.backend.name)
    context = query.initial_prompt if engine.capabilities.context else ""
    options = FileOptions(language, context, words=query.output != "txt", speakers=speakers)
    times = services.stage_times()
    transcript = await (await upload.begin(request, file.file, options, services)).transcript()
    times.add_all(transcript.timings_s)
    headers = {"X-Steno-Ignored": "initial_prompt"} if query.initial_prompt and not context else {}
    with times.measure("write"):
        response = await asyncio.to_thread(_answer, query, transcript, headers, services, audio_file.filename)
    response.headers["Server-Timing"] = times.header()
    return response


@router.post("/detect-language", responses=REFUSALS)
async def detect_language(
    request: Request, audio_file: Recording, services: With, encode: Encode = True
) -> JSONResponse:
    """The language of the first speech in a recording. The recogniser gives no probability of it: `confidence` is 1."""
    await upload.check_single(request, "audio_file")
    file = await _readable(audio_file, encode=encode)
    transcription = await upload.begin(request, file.file, FileOptions(), services)
    segment = await _first_segment(transcription)
    if segment is None:
        raise InvalidRequestError("no speech was found in the recording, so no language", param="audio_file")
    language = segment.language or _only_language(services)
    if language is None:
        raise UnsupportedFeatureError("the recogniser does not report the language", param="audio_file")
    name = name_of(language).lower()
    return JSONResponse({"detected_language": name, "language_code": language, "confidence": 1.0})


async def _readable(file: UploadFile, *, encode: bool) -> UploadFile:
    """The upload as a recording that says for itself what is in it."""
    head = await file.read(HEAD_BYTES)
    await file.seek(0)
    if encode or not head or file_format(head) is not None:
        return file
    return UploadFile(cast("BinaryIO", HeaderedSamples(file.file, RAW)), filename=file.filename)


async def _translated(request: Request, file: UploadFile, query: AsrQuery, services: Services) -> Response:
    if query.output not in TRANSLATED:
        text = f"output={query.output} does not go with task=translate; it takes {', '.join(TRANSLATED)}"
        raise InvalidRequestError(text, param="output")
    form = TranslationForm(
        file=file,
        prompt=query.initial_prompt,
        response_format=TRANSLATED[query.output],
        language="en",
        source_language=query.language,
    )
    response = await translations(request, form, services)
    del response.headers["X-Steno-Ignored"]  # it has the names of that route's form
    if query.initial_prompt and not services.engine.capabilities.context:
        response.headers["X-Steno-Ignored"] = "initial_prompt"
    return response


async def _first_segment(transcription: FileTranscription) -> Segment | None:
    async with aclosing(transcription.run()) as parts:
        async for part in parts:
            for segment in part.segments:
                if segment.text:
                    return segment
    return None


def _only_language(services: Services) -> str | None:
    languages = services.engine.capabilities.languages
    return next(iter(languages)) if languages and len(languages) == 1 else None


def _answer(
    query: AsrQuery, transcript: Transcript, headers: dict[str, str], services: Services, name: str | None
) -> Response:
    """In a thread: wording hours of text takes a while."""
    if query.output == "txt":
        return PlainTextResponse(transcript.text + "\n", headers=headers)
    if query.output == "json":
        body = JSON.dump_json(_whisper_json(transcript, words=query.word_timestamps))
        return Response(body, media_type="application/json", headers=headers)
    made = subtitles_of(transcript, services.style(LINE_CHARS, LINES), "accurate", "dash")
    answer = caption_answer(made.cues, query.output, made.timing, headers, language=transcript.language, labels="dash")
    return answer.response({}, name)


def _whisper_json(transcript: Transcript, *, words: bool) -> dict[str, Any]:
    segments = []
    for segment in transcript.segments:
        told = wire_segment(segment).model_dump(exclude_none=True)
        segments.append({**told, "words": _words(segment)} if words else told)
    return {"text": transcript.text, "segments": segments, "language": transcript.language}


def _words(segment: Segment) -> list[dict[str, Any]]:
    return [
        {
            "word": word.text,
            "start": round(word.start_s, 3),
            "end": round(word.end_s, 3),
            "probability": 1.0 if word.confidence is None else round(word.confidence, 4),
            **({"speaker": word.speaker} if word.speaker is not None else {}),
        }
        for word in words_of([segment])
    ]
