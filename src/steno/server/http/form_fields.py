"""Reads multipart forms: normalises names of repeated fields, and reports uploads that cannot be stored."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from loguru import logger
from starlette.datastructures import FormData

REPEATED = (
    "timestamp_granularities",
    "include",
    "keywords",
    "languages",
    "known_speaker_names",
    "known_speaker_references",
)
"""Fields with a list of values. SDKs send `name[]`, curl users `name`, and some form libraries `name[0]`."""

MAX_FIELD_BYTES = 3 * 2**20
"""Of a field that is not a file: ten seconds of a voice as a data URL, at 48 kHz."""

_INDEXED = re.compile(rf"({'|'.join(REPEATED)})(\[\d*\])?")

_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOENT, errno.EIO, errno.EFBIG)
"""Error numbers of an operating system that cannot write a temporary file."""


@contextmanager
def storing() -> Iterator[None]:
    """Raises HTTPException 507 if an upload cannot be written to its temporary file, and logs the cause."""
    try:
        yield
    except OSError as error:
        raise _storage_error(error) from error


class FormRequest(Request):
    """A request whose repeated form fields are renamed to `name[]`."""

    _normalised: FormData | None = None

    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]
        """Parse the form. Raises HTTPException 507 if the upload cannot be stored."""
        if self._normalised is None:
            with storing():
                sent = await super().form(**{"max_part_size": MAX_FIELD_BYTES, **limits})
            self._normalised = FormData([(_field_name(key), value) for key, value in sent.multi_items()])
        return self._normalised


class FormRoute(APIRoute):
    """A route that reads its form as a `FormRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_form(request: Request) -> Response:
            return await handle(FormRequest(request.scope, request.receive))

        return handle_form


def _field_name(key: str) -> str:
    found = _INDEXED.fullmatch(key)
    return f"{found[1]}[]" if found else key


def _storage_error(error: OSError) -> OSError | HTTPException:
    if error.errno not in _STORAGE:
        return error
    logger.error("an upload cannot be stored: {} (the folder for temporary files is set by TMPDIR)", error)
    return HTTPException(507, "the server cannot store this upload: no space left; a smaller one may work")
