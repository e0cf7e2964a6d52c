"""A client of steno's API, for programs, the command line and tests: uploads over HTTP, live streams over WebSocket.

    Client, AsyncClient (`sync`, `aio`) → `server`: the URL, the key, HTTP answers
    stream → `conversation`: tasks, reconnecting → `ledger`: what was sent and what came of it → `socket`

What a live stream needs is imported with the first one.
"""

from __future__ import annotations

from steno.client.aio import AsyncClient
from steno.client.exceptions import BacklogError, ConnectionLostError, ServerError
from steno.client.messages import Event, Final, Partial
from steno.client.stream_options import StreamArguments, StreamOptions
from steno.client.sync import Client
from steno.types import Segment, Transcript, Word

__all__ = [
    "AsyncClient",
    "BacklogError",
    "Client",
    "ConnectionLostError",
    "Event",
    "Final",
    "Partial",
    "Segment",
    "ServerError",
    "StreamArguments",
    "StreamOptions",
    "Transcript",
    "Word",
]
