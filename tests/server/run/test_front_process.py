"""The process of a front as its supervisor keeps it, here one that fails."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from running import PATIENCE_S
from steno.engine.front_table import FrontTable, Head
from steno.server.front_role import METRICS
from steno.server.run import front_process
from steno.server.run.front_process import FrontProcess

LONG_S = 10 * PATIENCE_S


@pytest.fixture
def table(tmp_path: Path) -> FrontTable:
    return FrontTable.create(tmp_path / "table", 1)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def process_of(folder: Path, table: FrontTable, listener: socket.socket) -> tuple[FrontProcess, list[int]]:
    """A front whose process kills itself while Python starts. Returns it, and the codes that `failed` gets."""
    (folder / METRICS).mkdir()
    (folder / "sitecustomize.py").write_text("import os; os.kill(os.getpid(), 40)", encoding="utf-8")
    failures: list[int] = []
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return FrontProcess(0, folder, table, listener, [], environment, failures.append), failures


async def until_restarted(table: FrontTable, times: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while table.head(Head.RESTARTS) < times:
            await asyncio.sleep(0.01)


async def test_a_first_process_that_fails_is_not_started_again(
    tmp_path: Path, table: FrontTable, listener: socket.socket, logs: list[str]
) -> None:
    front, failures = process_of(tmp_path, table, listener)
    async with asyncio.timeout(PATIENCE_S):
        await front.keep()
    assert failures == [-40]
    assert table.head(Head.RESTARTS) == 0
    assert "ERROR front 0 ended by signal 40" in logs


async def test_a_front_that_pauses_before_a_start_ends_at_once_when_it_is_drained(
    tmp_path: Path, table: FrontTable, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_process, "PAUSES_S", (0.0, LONG_S))
    front, failures = process_of(tmp_path, table, listener)
    front.answers.set()  # an earlier process of this front did
    keeping = asyncio.create_task(front.keep())
    await until_restarted(table, 1)
    assert not keeping.done()
    front.drain()
    await asyncio.wait_for(keeping, 1.0)
    assert failures == []


async def test_an_unexpected_error_does_not_lose_the_front(
    tmp_path: Path, table: FrontTable, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, logs: list[str]
) -> None:
    monkeypatch.setattr(front_process, "PAUSES_S", (0.0, 0.0, 0.0, LONG_S))
    front, _ = process_of(tmp_path, table, listener)
    front.answers.set()
    listener.close()  # no process can inherit it: ValueError
    keeping = asyncio.create_task(front.keep())
    await until_restarted(table, 3)
    front.drain()
    await asyncio.wait_for(keeping, 1.0)
    assert len([line for line in logs if line.startswith("ERROR the process of front 0 could not be run")]) == 3
