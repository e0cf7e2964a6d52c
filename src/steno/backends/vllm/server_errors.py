"""What may go wrong with one server of the pool. None of it reaches a client: another server is tried first."""

from __future__ import annotations

from steno.errors import BackendError


class ServerFailedError(BackendError):
    """The server did not do what was asked; another one may. The message continues "<address> …"."""


class ServerLostError(ServerFailedError):
    """No answer: the server is unreachable, ended, or took too long."""


class KeyRefusedError(ServerFailedError):
    """The server refuses `VLLM_API_KEY`, or the lack of it."""


class RequestRefusedError(BackendError):
    """The server considers the request invalid; no other one is tried."""
