"""Deepgram's SDK on a running server: its clients, and conversations of either live dialect."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from running import RunningServer
from talking import BYTES_PER_S

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of `websockets`: the SDK still tries its old names first
    import deepgram.listen.v1.client
    import deepgram.listen.v2.client  # noqa: F401 - they import the old names later otherwise
    from deepgram import DeepgramClient
    from deepgram.environment import DeepgramClientEnvironment

PIECE_S = 0.1


def client_of(server: RunningServer, key: str = "right", kind: type[Any] = DeepgramClient, **options: Any) -> Any:
    sockets = server.url.replace("http", "ws")
    environment = DeepgramClientEnvironment(base=server.url, production=sockets, agent=sockets, agent_rest=server.url)
    return kind(api_key=key, environment=environment, **options)


def say(connection: Any, audio: bytes, pace: float | None = None) -> None:
    """`pace`: how many times faster than it was spoken; None = at once."""
    size = int(PIECE_S * BYTES_PER_S)
    for start in range(0, len(audio), size):
        connection.send_media(audio[start : start + size])
        if pace is not None:
            time.sleep(PIECE_S / pace)


def saying(audio: bytes, pace: float | None = None) -> Callable[[Any], None]:
    def send(connection: Any) -> None:
        say(connection, audio, pace)
        connection.send_close_stream()

    return send


class SdkConversation:
    """What was said on a connection, from its opening to its end."""

    def __init__(self, opened: AbstractContextManager[Any], send: Callable[[Any], None]) -> None:
        with opened as connection:
            sender = threading.Thread(target=send, args=(connection,))
            sender.start()
            self.messages: list[Any] = list(connection)
            self.ended_at = time.monotonic()
            sender.join()
            self.close_code = connection._websocket.close_code
