"""Workers on TCP: who may connect."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from steno import __version__
from steno.engine.worker import worker_tcp
from steno.engine.worker.worker_tcp import MAX_UNAUTHENTICATED, TokenGate, WorkerAddress, listen, new_token
from steno.engine.worker.worker_wire import Connection, Hello, WorkerGoneError


@asynccontextmanager
async def greeter() -> AsyncIterator[WorkerAddress]:
    """A server that greets who has the token."""
    token = new_token()
    gate = TokenGate(token)
    greeted: list[Connection] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await gate.admits(reader, writer):
            connection = Connection(reader, writer)
            connection.send(Hello(__version__))
            greeted.append(connection)

    listener = listen("127.0.0.1")
    async with await asyncio.start_server(serve, sock=listener):
        yield WorkerAddress("127.0.0.1", listener.getsockname()[1], token)
        for connection in greeted:
            connection.abort()
        await asyncio.sleep(0.05)  # aborted connections close in the next turn of the loop


async def test_who_has_the_token_is_greeted() -> None:
    async with greeter() as address:
        connection = await address.connect()
        assert await connection.receive_from_worker() == Hello(__version__)
        connection.abort()


async def test_a_wrong_token_closes_the_connection() -> None:
    async with greeter() as address:
        connection = await WorkerAddress(address.host, address.port, new_token()).connect()
        with pytest.raises(WorkerGoneError):
            await connection.receive_from_worker()
        connection.abort()


async def test_a_client_that_sends_no_token_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_tcp, "TOKEN_S", 0.1)
    async with greeter() as address, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(address.token[:-1])
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_connections_without_a_token_are_bounded() -> None:
    async with greeter() as address, asyncio.timeout(5):
        silent = [await asyncio.open_connection(address.host, address.port) for _ in range(MAX_UNAUTHENTICATED)]
        await asyncio.sleep(0.1)
        refused = await address.connect()
        with pytest.raises(WorkerGoneError):
            await refused.receive_from_worker()
        refused.abort()
        for _, writer in silent:
            writer.close()
        await asyncio.sleep(0.1)
        connection = await address.connect()
        assert await connection.receive_from_worker() == Hello(__version__)
        connection.abort()


async def test_small_messages_are_sent_at_once_and_a_dead_peer_is_noticed() -> None:
    async with greeter() as address:
        connection = await address.connect()
        await connection.receive_from_worker()
        its = connection._writer.get_extra_info("socket")
        assert its.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert its.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        connection.abort()


def test_the_token_is_not_shown() -> None:
    assert "token" not in repr(WorkerAddress("10.0.0.1", 1, b"secret"))
