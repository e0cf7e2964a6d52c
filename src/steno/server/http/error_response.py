"""Maps steno's errors to HTTP statuses and to one common body."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from loguru import logger
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from steno import errors
from steno.errors import StenoError

STATUS: dict[type[StenoError], int] = {
    errors.InvalidRequestError: 400,
    errors.TranslationNotConfiguredError: 400,
    errors.UnknownModelError: 404,
    errors.UnknownAddressError: 404,
    errors.UnknownJobError: 404,
    errors.UnknownRecordingError: 404,
    errors.IdempotencyConflictError: 409,
    errors.JobNotFinishedError: 409,
    errors.JobFailedError: 409,
    errors.JobQuotaError: 429,
    errors.JobStorageError: 507,
    errors.UrlTooLongError: 414,
    errors.HeadTooLargeError: 431,
    errors.AuthenticationError: 401,
    errors.ForbiddenOriginError: 403,
    errors.ForbiddenHostError: 403,
    errors.SessionEndedError: 408,
    errors.SlowReaderError: 408,
    errors.AudioTooLargeError: 413,
    errors.AudioTooLongError: 413,
    errors.AudioError: 400,
    errors.TextMismatchError: 422,
    errors.UploadStalledError: 408,
    errors.OverloadedError: 429,
    errors.UnavailableError: 503,
    errors.DeadlineExceededError: 504,
}
"""Status by error class; the nearest base class applies. Errors that are not listed are 500."""


FILE_FIELDS = ("file", "audio_file")
"""Form fields that hold a recording."""


class ErrorDetail(BaseModel):
    """OpenAI's error object."""

    message: str
    type: str
    param: str | None = None
    code: str


class ErrorContext(BaseModel):
    requestId: str


class ErrorBody(BaseModel):
    """OpenAI's error body, with steno's fields beside it."""

    error: ErrorDetail
    code: str
    message: str
    statusCode: int
    context: ErrorContext


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` of a route: these statuses have an `ErrorBody`."""
    return {status: {"model": ErrorBody, "description": HTTPStatus(status).phrase} for status in statuses}


def status_of(error: StenoError) -> int:
    return next((STATUS[base] for base in type(error).__mro__ if base in STATUS), 500)


def response_of(error: StenoError, request_id: str) -> JSONResponse:
    """The response for `error`."""
    status = status_of(error)
    headers = {}
    if isinstance(error, errors.RetryableError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, errors.AuthenticationError):
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body_of(error, request_id), status, headers)


def body_of(error: StenoError, request_id: str) -> dict[str, Any]:
    """`ErrorBody` as JSON; also sent inside an event stream."""
    return _body(status_of(error), error.message, error.code, error.param, request_id)


def install(app: FastAPI) -> None:
    """Register handlers that give every error of the app an `ErrorBody`."""

    @app.exception_handler(StenoError)
    async def _steno(request: Request, error: StenoError) -> JSONResponse:
        if status_of(error) == 500:
            logger.error("{}: {}", error.code, error.message)
        return response_of(error, request_id_of(request.scope))

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
        for field in FILE_FIELDS:
            if any(tuple(problem["loc"]) == ("body", field) for problem in error.errors()):
                given = next((problem.get("input") for problem in error.errors() if problem["loc"][-1] == field), None)
                message = about_file(request, given, field)
                return response_of(errors.InvalidRequestError(message, param=field), request_id_of(request.scope))
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:]) or None
        message = f"{name or 'request'}: {first['msg'].removeprefix('Value error, ')}"
        return response_of(errors.InvalidRequestError(message, param=name), request_id_of(request.scope))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        message = f"{request.method} {request.url.path}: {error.detail}" if error.status_code in (404, 405) else None
        body = _body(error.status_code, message or str(error.detail), code, None, request_id_of(request.scope))
        return JSONResponse(body, error.status_code, dict(error.headers or {}))


def about_file(request: Request, given: object, field: str) -> str:
    """What is wrong with the field of the recording, and how to send one. `given`: its value; None if it is missing."""
    expected = f"send the recording as the form field {field!r}, with a file name (curl -F {field}=@talk.mp3)"
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        return f"invalid content type {kind[:50] or 'none'}; expected multipart/form-data: {expected}"
    if isinstance(given, str) and given.lstrip().startswith(("http://", "https://")):
        return f"the field {field!r} is a URL; send URLs as audio_url, where the server allows them: {expected}"
    if isinstance(given, str):
        return f"the field {field!r} is text, or has no file name: {expected}"
    return f"the form has no field {field!r}: {expected}"


def unexpected(error: Exception, request_id: str) -> JSONResponse:
    """The response for an unhandled error. Its details go to the log, not to the client."""
    logger.opt(exception=error).error("unhandled {}", type(error).__name__)
    message = f"the server failed; its log has the reason under request id {request_id}"
    return JSONResponse(_body(500, message, StenoError.code, None, request_id), 500)


def request_id_of(scope: Any) -> str:
    return str(scope.get("steno.request_id", "-"))


def _body(status: int, message: str, code: str, param: str | None, request_id: str) -> dict[str, Any]:
    kind = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}.get(status)
    kind = kind or ("invalid_request_error" if status < 500 else "server_error")
    return {
        "error": {"message": message, "type": kind, "param": param, "code": code},
        "code": code,
        "message": message,
        "statusCode": status,
        "context": {"requestId": request_id},
    }
