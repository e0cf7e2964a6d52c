"""What `stream` makes of servers that misbehave: a server of the test's own, which does as it is told."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from steno.client import AsyncClient, BacklogError, ConnectionLostError, Event, Final, ServerError, conversation
from steno.errors import AuthenticationError, DrainingError, OverloadedError

SECOND = 32_000
Script = Callable[[ServerConnection, int], Awaitable[None]]
"""What to do with a connection; they are counted."""


@asynccontextmanager
async def serving(script: Script, **options: Any) -> AsyncIterator[str]:
    count = 0

    async def converse(socket: ServerConnection) -> None:
        nonlocal count
        count += 1
        await script(socket, count - 1)

    async with websockets.serve(converse, "127.0.0.1", 0, **options) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def tell(socket: ServerConnection, *messages: dict[str, Any]) -> None:
    for message in messages:
        await socket.send(json.dumps(message))


async def heard(url: str, audio: Any = bytes(SECOND), **options: Any) -> list[Event]:
    async with AsyncClient(url) as client:
        return [event async for event in client.stream(audio, **options)]


def final(segment_id: int, start_s: float, end_s: float) -> dict[str, Any]:
    return {"is_final": True, "segment_id": segment_id, "text": "a", "start_s": start_s, "end_s": end_s}


CONNECTED = {"status": "connected"}


async def test_a_server_that_greets_and_drops_is_not_tried_for_ever() -> None:
    connections = 0

    async def greet_and_drop(socket: ServerConnection, n: int) -> None:
        nonlocal connections
        connections += 1
        await tell(socket, CONNECTED)

    async with serving(greet_and_drop) as url:
        with pytest.raises(ConnectionLostError, match=r"^the connection to the server was lost: "):
            await heard(url, reconnect_s=1)
    assert 2 < connections < 12


async def test_a_server_that_drains_is_left_alone_for_as_long_as_it_says() -> None:
    clock = asyncio.get_running_loop().time
    tried: list[float] = []

    async def drain_and_serve(socket: ServerConnection, n: int) -> None:
        tried.append(clock())
        await tell(socket, CONNECTED)
        if n == 0:
            await tell(socket, {"status": "error", "code": "DRAINING", "message": "bye", "retry_after_s": 1})
            return
        await tell(socket, final(0, 0, 1), {"status": "closed", "audio_s": 1})

    async with serving(drain_and_serve) as url:
        assert len(await heard(url)) == 1
        assert 1 <= tried[1] - tried[0] < 2
    async with serving(drain_and_serve) as url:
        with pytest.raises(DrainingError, match=r"^bye$"):
            await heard(url, reconnect_s=0.5)


async def test_a_dropped_farewell_is_no_loss_when_everything_was_heard() -> None:
    async def finish_and_drop(socket: ServerConnection, n: int) -> None:
        assert n == 0
        await tell(socket, CONNECTED)
        while isinstance(await socket.recv(), bytes):
            pass
        await tell(socket, final(0, 0, 1))

    async with serving(finish_and_drop) as url:
        (event,) = await heard(url)
    assert isinstance(event, Final)


async def test_a_server_that_says_nothing_of_what_it_has_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "STALL_S", 0.5)

    async def swallow(socket: ServerConnection, n: int) -> None:
        await tell(socket, CONNECTED)
        async for _ in socket:
            pass

    async with serving(swallow) as url:
        with pytest.raises(BacklogError, match=r"nothing of the last 60 s of audio"):
            await heard(url, bytes(100 * SECOND))


@pytest.mark.parametrize("message", ["no json", "[1]", '{"is_final": true}', b"\x00\x01"])
async def test_what_is_no_steno_server_is_named_so(message: str | bytes) -> None:
    async def babble(socket: ServerConnection, n: int) -> None:
        await socket.send(message)
        await socket.wait_closed()

    async with serving(babble) as url:
        with pytest.raises(ServerError, match=r"^invalid message; expected one of steno's live protocol$"):
            await heard(url)


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (404, ServerError), (429, OverloadedError), (502, ServerError)]
)
async def test_an_http_answer_in_place_of_a_stream_is_understood(status: int, kind: type[Exception]) -> None:
    def refuse(socket: ServerConnection, request: Request) -> Response:
        response = socket.respond(status, "no")
        response.headers["Retry-After"] = "60"
        return response

    async def never(socket: ServerConnection, n: int) -> None:
        raise AssertionError

    async with serving(never, process_request=refuse) as url:
        with pytest.raises(kind, match=rf"responds to the handshake of a live stream with {status}") as refused:
            await heard(url)
    assert getattr(refused.value, "retry_after_s", 60) == 60


async def test_over_tls_a_certificate_is_trusted_where_the_environment_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=90,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def bid_farewell(socket: ServerConnection, n: int) -> None:
        await tell(socket, CONNECTED, {"status": "closed", "audio_s": 0})

    async with serving(bid_farewell, ssl=context) as url:
        url = url.replace("http:", "https:")
        with pytest.raises(ServerError, match=rf"^the certificate of {url}/ is not trusted: self-signed certificate; "):
            await heard(url.replace("https://", "https://user:password@"))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert await heard(url) == []


async def test_a_proxy_is_for_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    async def bid_farewell(socket: ServerConnection, n: int) -> None:
        await tell(socket, CONNECTED, {"status": "closed", "audio_s": 0})

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with serving(bid_farewell) as url:
        assert await heard(url) == []
