"""Work on one recording, independent of who asks: a request that waits for it, or a job that does it later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Generic, TypeVar

from fastapi import Request, Response

from steno.engine.ticket import Ticket
from steno.pipelines.file import FileOptions, FileTranscription
from steno.pipelines.known_text import Report
from steno.server.http import upload
from steno.server.http.answer import Answer
from steno.server.http.forms import RecordingForm
from steno.server.middleware.upload_admission import admitted_upload_of
from steno.server.services import Services
from steno.stage_times import StageTimes
from steno.types import Transcript

if TYPE_CHECKING:
    from steno.server.http.result_cache import ResultCache

F = TypeVar("F", bound=RecordingForm)


@dataclass(frozen=True, slots=True, eq=False)
class RecordingCall:
    """What work needs: the recording, its place in the engine, and where progress is reported."""

    recording: BinaryIO
    ticket: Ticket
    services: Services
    times: StageTimes
    report: Report = lambda step, part: None
    measured: Callable[[float], None] = lambda audio_s: None
    """Gets the length of the recording in seconds, once all of it is decoded."""

    async def transcribe(self, options: FileOptions) -> Transcript:
        """The whole transcript.

        Raises:
            AudioError: the recording cannot be used.
            ModelLoadError: the model cannot be loaded.
        """
        reader = self.services.recordings.open(self.recording, options.track)
        async with FileTranscription.on(self.services.engine, reader, self.ticket, options) as transcription:
            await transcription.open()
            await self.ticket.ready()
            made = await transcription.transcript(lambda done_s: self._recognized(done_s, transcription.total_s))
            self.measured(made.duration_s)
            self.times.add_all(made.timings_s)
            return made

    def _recognized(self, done_s: float, total_s: float | None) -> None:
        if total_s:
            self.report("recognize", min(done_s / total_s, 1.0))


@dataclass(frozen=True, slots=True)
class RecordingWork(Generic[F]):
    """One kind of work.

    Args:
        check: raises what is wrong with the form, before the recording is looked at.
        run: does the work; checks the form too.
    """

    name: str
    form: type[F]
    check: Callable[[F, Services], object]
    run: Callable[[F, RecordingCall], Awaitable[Answer]]

    async def respond(self, request: Request, form: F, services: Services) -> Response:
        """The response to a request whose client waits."""
        headers = await upload.ignored(request, form, services)
        self.check(form, services)
        file = await upload.recording_of(request, form, services)
        ticket = admitted_upload_of(request.scope).ticket
        call = RecordingCall(file.file, ticket, services, services.stage_times())
        if services.results is None:
            return (await self.perform(form, call)).response(headers, file.filename)
        answer, status = await self._through_cache(services.results, request, form, call)
        return answer.response({**headers, "Cache-Status": status}, file.filename)

    async def perform(self, form: F, call: RecordingCall) -> Answer:
        """Do the work, and say in a header where its time went."""
        answer = await self.run(form, call)
        return replace(answer, headers={**answer.headers, "Server-Timing": call.times.header()})

    async def _through_cache(
        self, results: ResultCache, request: Request, form: F, call: RecordingCall
    ) -> tuple[Answer, str]:
        """The answer, and whence it is (RFC 9211). The request's `Cache-Control` may forbid reading and storing."""
        wish = request.headers.get("cache-control", "")
        key = await results.key_of(call.recording, self.name, form, call.services.cache_owner(request))
        known = None if "no-cache" in wish or "no-store" in wish else await results.get(key)
        if known is not None:
            return known, "steno; hit"
        answer = await self.perform(form, call)
        is_lasting = "no-store" not in wish and "X-Untranslated" not in answer.headers
        stored = is_lasting and await results.put(key, answer)
        reason = "request" if "no-" in wish else "miss"
        return answer, f"steno; fwd={reason}{'; stored' if stored else ''}"
