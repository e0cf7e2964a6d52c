"""What goes wrong between a client and a server.

    StenoError
    ├── ServerError                the server answered with an error, or did not answer
    │   ├── ConnectionLostError        a stream was cut off, and could not be taken up again
    │   └── BacklogError               the server confirms nothing, and no more audio is kept for it
    └── AuthenticationError, OverloadedError, InvalidRequestError, …

The last are `steno.errors`' own: what a live server says that is wrong is the same error here.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from steno import errors
from steno.errors import RetryableError, StenoError


class ServerError(StenoError):
    """The server answered with an error, or did not answer."""

    code = "server_error"

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ConnectionLostError(ServerError):
    """A stream was cut off, and could not be taken up again: not in time, or because its audio cannot be resumed."""

    code = "connection_lost"


class BacklogError(ServerError):
    """More audio would have to be kept than is kept: the server takes it, but says nothing of it."""

    code = "backlog"


TYPES: Mapping[str, type[StenoError]] = {
    "invalid_config": errors.InvalidRequestError,
    **{
        kind.code: kind
        for kind in (
            errors.UnsupportedLanguageError,
            errors.UnsupportedSampleRateError,
            errors.UnknownModelError,
            errors.AuthenticationError,
            errors.ForbiddenOriginError,
            errors.SessionEndedError,
            errors.SlowReaderError,
            errors.NotAudioError,
            errors.UndecodableAudioError,
            errors.OverloadedError,
            errors.UnavailableError,
            errors.DrainingError,
            errors.ModelLoadError,
            errors.DeadlineExceededError,
            errors.BackendError,
            errors.BackendUnavailableError,
            errors.BackendCrashedError,
        )
    },
}
"""By the code on the wire, in small letters."""


def error_of(message: Mapping[str, Any]) -> StenoError:
    """A live server's error message as the error that it was there; a code that is not known gives a `ServerError`."""
    text = str(message.get("message") or "the server gives no reason")
    kind = TYPES.get(str(message.get("code", "")).lower())
    if kind is None:
        return ServerError(f"the server says {message.get('code')}: {text}", message.get("statusCode"))
    if issubclass(kind, RetryableError):
        return kind(text, retry_after_s=seconds_of(message.get("retry_after_s"), 1.0))
    return kind(text, param=message.get("param"))


def seconds_of(value: object, otherwise: float) -> float:
    """A `Retry-After` in seconds; anything else is not worth an error."""
    try:
        return max(0.0, float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return otherwise


def not_reached(server: str, error: BaseException) -> ServerError:
    """`error` kept us from connecting to `server`, which is shown without the password that may be in its URL."""
    tls = _tls_error_behind(error)
    if isinstance(tls, ssl.SSLCertVerificationError):
        advice = "SSL_CERT_FILE can name a file with the authority that signed it"
        return ServerError(f"the certificate of {server} is not trusted: {tls.verify_message}; {advice}")
    if tls:
        return ServerError(f"no TLS with {server}: {tls.reason or tls}; does it serve https?")
    return ServerError(f"nothing answers at {server}: is the server up?")


def _tls_error_behind(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
