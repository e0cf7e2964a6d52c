"""Errors of the client.

    StenoError
    ├── ServerError                the server responded with an error, or did not respond
    │   ├── ConnectionLostError        a stream's connection was lost and could not be resumed
    │   └── BacklogError               the server confirms no audio, and the replay buffer is full
    └── AuthenticationError, OverloadedError, InvalidRequestError, …

The last are from `steno.errors`: an error message of a live server is raised as the same error.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from steno import errors
from steno.errors import RetryableError, StenoError


class ServerError(StenoError):
    """The server responded with an error, or did not respond."""

    code = "server_error"

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ConnectionLostError(ServerError):
    """A stream's connection was lost and could not be resumed in time, or its encoding cannot be resumed."""

    code = "connection_lost"


class BacklogError(ServerError):
    """The server takes audio but confirms none, and the replay buffer is full."""

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
"""Error classes by the code on the wire, in lower case."""


def error_of(message: Mapping[str, Any]) -> StenoError:
    """The error that a live server's error message stands for; a `ServerError` if its code is unknown."""
    text = str(message.get("message") or "the server gave no reason")
    kind = TYPES.get(str(message.get("code", "")).lower())
    if kind is None:
        return ServerError(f"the server says {message.get('code')}: {text}", message.get("statusCode"))
    if issubclass(kind, RetryableError):
        return kind(text, retry_after_s=seconds_of(message.get("retry_after_s"), 1.0))
    return kind(text, param=message.get("param"))


def seconds_of(value: object, otherwise: float) -> float:
    """A `Retry-After` in seconds; `otherwise` if it is invalid."""
    try:
        return max(0.0, float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return otherwise


def not_reached(server: str, error: BaseException) -> ServerError:
    """The error for a failed connection. `server`: its URL without a password."""
    tls = _tls_error_behind(error)
    if isinstance(tls, ssl.SSLCertVerificationError):
        advice = "SSL_CERT_FILE can name a file with its certificate authority"
        return ServerError(f"the certificate of {server} is not trusted: {tls.verify_message}; {advice}")
    if tls:
        return ServerError(f"TLS failed with {server}: {tls.reason or tls}; does it serve https?")
    return ServerError(f"no response from {server}: is the server up?")


def _tls_error_behind(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
