"""From an upload to a running transcription: the same for every route that takes a recording."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TypeAlias

from fastapi import Request, UploadFile

from steno.errors import InvalidRequestError, UnsupportedFeatureError
from steno.pipelines.file import FileOptions, FileTranscription
from steno.server.http.forms import SubtitleForm, TranscriptionForm, TranslationForm
from steno.server.middleware.upload_admission import place_of
from steno.server.services import Services

Form: TypeAlias = TranscriptionForm | SubtitleForm | TranslationForm

MAX_UNKNOWN = 20
_SPEAKERS = ("known_speaker_names", "known_speaker_references")
_ALIASES = {
    "granularities": "timestamp_granularities[]",
    "include": "include[]",
    "keywords": "keywords[]",
    "languages": "languages[]",
}


async def begin(request: Request, file: UploadFile, options: FileOptions, services: Services) -> FileTranscription:
    """Start, decode the first piece, load the model: what cannot work is found out before the answer begins.

    The transcription ends with the request (`Place.cleanup`).

    Raises:
        AudioError: of the kind that befits the recording.
        ModelLoadError: the model did not load.
    """
    if len((await request.form()).getlist("file")) > 1:
        raise InvalidRequestError("one file at a time: the field 'file' was sent more than once", param="file")
    place = place_of(request.scope)
    transcription = FileTranscription.on(
        services.engine, services.pieces.open(file.file, options.track), place.ticket, options
    )
    await place.cleanup.enter_async_context(transcription)
    await transcription.open()
    await place.ticket.ready()
    return transcription


async def ignored(request: Request, form: Form, services: Services) -> dict[str, str]:
    """A header that names what was sent and has no effect; none where there is nothing.

    Raises:
        UnsupportedFeatureError: a field asks for speakers to be told apart, which changes what the answer means.
    """
    known = {_ALIASES.get(field.name, field.name) for field in fields(form)}
    unknown = [name for name in dict.fromkeys((await request.form()).keys()) if name not in known]
    for name in unknown:
        if name.startswith(_SPEAKERS):
            raise UnsupportedFeatureError("speakers are not told apart here; leave the field out", param=name[:50])
    harmless = [re.sub(r"[^\w\[\]-]", "_", name, flags=re.ASCII)[:50] for name in unknown[:MAX_UNKNOWN]]
    names = [*form.ignored(services.engine.capabilities), *harmless]
    return {"X-Steno-Ignored": ", ".join(names)} if names else {}
