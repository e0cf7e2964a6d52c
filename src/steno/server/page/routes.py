"""`GET /`: the live captions page; `GET /archive`: the review of an archive; `GET /status`: what the server does.

The files are part of the package and read once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel

from steno import __version__
from steno.languages import NAMES
from steno.server.services import Services, services_of

FOLDER = Path(__file__).parent.parent / "page"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
INDEX, ARCHIVE, STATUS = "index.html", "archive.html", "status.html"
SHARED = ".js"
"""Suffix of files that pages of other sites may use: `js/steno.js` and its imports."""
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
"""A `Host` header that is safe to repeat in the policy."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    body: bytes
    media_type: str
    etag: str


class PageInfo(BaseModel):
    """Server facts that determine the page's options. Open like `/health`; contains no transcripts."""

    version: str
    model: str
    languages: dict[str, str]
    """Supported spoken languages: code → name."""
    targets: dict[str, str]
    """Target languages of translation: code → name; empty without an LLM."""
    hotwords: bool
    jobs: bool
    """Whether the server takes jobs."""


def router(folder: Path = FOLDER) -> APIRouter:
    """Create the page's routes. Reads its files."""
    files = _read(folder)
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return _answer(request, INDEX, files[INDEX])

    @routes.api_route("/archive", methods=["GET", "HEAD"])
    async def archive(request: Request, services: Annotated[Services, Depends(services_of)]) -> Response:
        if services.archive is None:
            raise HTTPException(404, "this server has no archive; its operator can set ARCHIVE_DIR")
        return _answer(request, ARCHIVE, files[ARCHIVE])

    @routes.api_route("/status", methods=["GET", "HEAD"])
    async def status(request: Request) -> Response:
        return _answer(request, STATUS, files[STATUS])

    @routes.get("/page/about.json")
    async def about(response: Response, services: Annotated[Services, Depends(services_of)]) -> PageInfo:
        response.headers["Cache-Control"] = "no-cache"
        return _about(services)

    @routes.api_route("/page/{path:path}", methods=["GET", "HEAD"])
    async def part(request: Request, path: str) -> Response:
        if path not in files:
            raise HTTPException(404)
        return _answer(request, path, files[path])

    return routes


def policy(host: str) -> str:
    """The page's Content-Security-Policy. In some browsers `'self'` does not include WebSockets of the same host."""
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"connect-src 'self'{sockets}",
            "img-src 'self' data:",
            "media-src 'self' blob:",
            "worker-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'",
        )
    )


def _read(folder: Path) -> Mapping[str, StaticFile]:
    found = {}
    for path in folder.rglob("*"):
        if path.suffix in MEDIA_TYPES:
            body = path.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
            found[path.relative_to(folder).as_posix()] = StaticFile(body, MEDIA_TYPES[path.suffix], etag)
    return found


def _answer(request: Request, path: str, file: StaticFile) -> Response:
    headers = {
        "Cache-Control": "no-cache",  # cached, but revalidated each time, so that an upgrade is seen at once
        "ETag": file.etag,
        "Content-Security-Policy": policy(request.headers.get("host", "")),
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "microphone=(self), display-capture=(self), camera=(), geolocation=()",
    }
    if path.endswith(SHARED):
        headers |= {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
    offered = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.etag in offered:
        return Response(status_code=304, headers=headers)
    return Response(file.body, media_type=file.media_type, headers=headers)


def _about(services: Services) -> PageInfo:
    backend = services.engine.backend
    spoken = backend.capabilities.languages
    by_name = sorted(NAMES.items(), key=lambda item: item[1])
    return PageInfo(
        version=__version__,
        model=backend.model_id,
        languages={code: name for code, name in by_name if spoken is None or code in spoken},
        targets=dict(by_name) if services.translator is not None else {},
        hotwords=backend.capabilities.context,
        jobs=services.jobs is not None,
    )
