"""A client of steno's API: uploads over HTTP, live streams over WebSocket.

    Client, AsyncClient (`sync`, `aio`) → `http_api`: URL, key, HTTP responses; `job_requests`: stored jobs
    stream → `conversation`: tasks, reconnecting → `replay_buffer`: audio sent, events received → `websocket`

The modules for live streams are imported with the first stream.
"""

from __future__ import annotations

from steno.client.aio import AsyncClient
from steno.client.exceptions import BacklogError, ConnectionLostError, ServerError
from steno.client.job_status import JobOutput, JobStatus
from steno.client.messages import Event, Final, Partial, SegmentEvent, SpeakersChanged
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
    "JobOutput",
    "JobStatus",
    "Partial",
    "Segment",
    "SegmentEvent",
    "ServerError",
    "SpeakersChanged",
    "StreamArguments",
    "StreamOptions",
    "Transcript",
    "Word",
]
