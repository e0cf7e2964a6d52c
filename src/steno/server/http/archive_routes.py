"""`/v1/archive`: an archive's recordings, for the page that reviews them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import FileResponse

from steno.archive.archive_review import ArchiveReview
from steno.archive.manifest import SegmentReview
from steno.errors import AuthenticationError, MalformedRequestError, UnsupportedFeatureError
from steno.server.http.archive_json import (
    ClockJson,
    Confirmation,
    Levels,
    NewAnchors,
    NewVerdict,
    RecordingList,
    ReviewJson,
    review_json,
    summary_of,
)
from steno.server.http.error_response import documented
from steno.server.http.signed_links import SignedLinks
from steno.server.services import Services, services_of

MAX_BODY = 256 * 1024
"""Bytes of a request."""


class SmallBodyRoute(APIRoute):
    """Refuses a large body, or one of unknown length, before it is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            length = request.headers.get("content-length", "" if request.method in ("PUT", "POST") else "0")
            if not length.isdigit() or int(length) > MAX_BODY:
                raise MalformedRequestError(f"the request needs a Content-Length of at most {MAX_BODY} bytes")
            return await handle(request)

        return checked


router = APIRouter(prefix="/v1/archive", tags=["archive"], route_class=SmallBodyRoute)
links = APIRouter(include_in_schema=False)
NOT_FOUND = documented(400, 401, 404)


def review_of(services: Annotated[Services, Depends(services_of)]) -> ArchiveReview:
    """For `Depends`. Raises UnsupportedFeatureError: the server has no archive."""
    if services.archive is None:
        raise UnsupportedFeatureError("this server has no archive; its operator can set ARCHIVE_DIR")
    return services.archive


def links_of(services: Annotated[Services, Depends(services_of)]) -> SignedLinks:
    return services.links


ReviewDep = Annotated[ArchiveReview, Depends(review_of)]
LinksDep = Annotated[SignedLinks, Depends(links_of)]


@router.get("", response_model=RecordingList, responses=documented(400, 401))
async def list_recordings(review: ReviewDep) -> Response:
    """The recordings that have a transcript."""

    def make() -> Response:
        return _json(RecordingList(data=[summary_of(manifest) for manifest in review.manifests()]))

    return await asyncio.to_thread(make)


@router.get("/{recording}", response_model=ReviewJson, responses=NOT_FOUND)
async def get_recording(recording: str, review: ReviewDep, signed: LinksDep) -> Response:
    """Transcript, chat and clock of a recording. `audio_url` is relative to the server's root."""
    path = f"archive/audio/{recording}" if signed.are_needed else f"v1/archive/{recording}/audio"
    url = f"{path}?{signed.query_for(path)}" if signed.are_needed else path
    body = await asyncio.to_thread(lambda: review_json(review.recording(recording), url))
    return Response(body, media_type="application/json")


@router.get("/{recording}/levels", response_model=Levels, responses=NOT_FOUND)
async def get_levels(recording: str, review: ReviewDep) -> Response:
    """The waveform: levels in dB of full scale."""

    def make() -> Response:
        pieces = review.levels(recording)
        return _json(Levels(step_s=pieces.level_step_s, levels_db=list(pieces.levels_db)))

    return await asyncio.to_thread(make)


@router.get("/{recording}/audio", response_class=FileResponse, responses=NOT_FOUND)
async def get_audio(recording: str, review: ReviewDep) -> FileResponse:
    """The audio as FLAC. Takes ranges."""
    return _flac(await asyncio.to_thread(review.audio, recording))


@links.get("/archive/audio/{recording}")
async def get_linked_audio(
    recording: str,
    review: ReviewDep,
    signed: LinksDep,
    expires: Annotated[int, Query()],
    signature: Annotated[str, Query(max_length=100)],
) -> FileResponse:
    """As `get_audio`, by a signed link."""
    if not signed.allows(f"archive/audio/{recording}", expires, signature):
        raise AuthenticationError("the link is invalid, or has expired")
    return _flac(await asyncio.to_thread(review.audio, recording))


@router.get("/{recording}/curve", response_class=FileResponse, responses=NOT_FOUND)
async def get_curve(recording: str, review: ReviewDep) -> FileResponse:
    """The correlation that the clock was read from."""
    return FileResponse(await asyncio.to_thread(review.curve, recording), media_type="application/json")


@router.put("/{recording}/anchors", response_model=ClockJson, responses=NOT_FOUND)
async def put_anchors(recording: str, new: NewAnchors, review: ReviewDep) -> ClockJson:
    """Set the anchors of the chat's clock. An empty list brings back the estimated clock."""
    anchors = [anchor if anchor.by else anchor.model_copy(update={"by": new.by}) for anchor in new.anchors]
    manifest = await asyncio.to_thread(review.set_anchors, recording, anchors, new.by)
    return ClockJson(clock=manifest.clock)


@router.post("/{recording}/clock/confirm", response_model=ClockJson, responses=NOT_FOUND)
async def confirm_clock(recording: str, new: Confirmation, review: ReviewDep) -> ClockJson:
    """Say that the clock in use is right."""
    manifest = await asyncio.to_thread(review.confirm_clock, recording, new.by)
    return ClockJson(clock=manifest.clock)


@router.put("/{recording}/verdict", response_model=None, status_code=204, responses=NOT_FOUND)
async def put_verdict(recording: str, new: NewVerdict, review: ReviewDep) -> None:
    """Accept or reject a segment."""
    verdict = None
    if new.verdict is not None:
        verdict = SegmentReview(start_s=new.start_s, end_s=new.end_s, verdict=new.verdict, by=new.by)
    await asyncio.to_thread(review.judge, recording, verdict, new.start_s)


def _json(body: BaseModel) -> Response:
    """For a thread: hours of speech are megabytes of JSON, which FastAPI would make on the event loop."""
    return Response(body.model_dump_json(), media_type="application/json")


def _flac(path: Path) -> FileResponse:
    return FileResponse(path, media_type="audio/flac", headers={"Cache-Control": "no-cache"})
