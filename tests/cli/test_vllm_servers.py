"""`steno doctor` with `VLLM_BASE_URL`: servers that answer, refuse the key, hang, and are not there."""

from __future__ import annotations

import asyncio
import json
import os
import time

import pytest

pytest.importorskip("msgspec", reason="the servers' wire needs msgspec: pip install 'steno[vllm-remote]'")

from command_line import run_command
from steno.cli.vllm_servers import ANSWER_S, problems_of
from vllm_stub import KEY, stubs

NOWHERE = "http://127.0.0.1:9"


async def test_doctor_says_that_the_servers_are_used_and_which_of_them_can_be_reached() -> None:
    async with stubs(1) as (server,):
        server.key = KEY
        environment = {
            **os.environ,
            "VLLM_BASE_URL": f"{server.url}/v1,{NOWHERE}",
            "VLLM_API_KEY": KEY,
            "FORCED_ALIGNER_ID": "",
        }
        as_json = await asyncio.to_thread(run_command, "doctor", "--json", environment=environment)
        report = json.loads(as_json.stdout)
        text = (await asyncio.to_thread(run_command, "doctor", environment=environment)).stdout
    reached, lost = report["vllm"]["servers"]
    assert reached == {"url": server.url, "problem": None}
    assert lost["url"] == NOWHERE
    assert lost["problem"].startswith("cannot be reached")
    assert report["serves_with"] == "vllm-remote"
    assert "the servers of VLLM_BASE_URL recognise" in text
    assert f"  {server.url} is reachable\n  {NOWHERE} cannot be reached: " in text
    assert KEY not in as_json.stdout + text


async def test_a_refused_key_and_a_server_that_hangs_are_said_in_time() -> None:
    hung = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hung.wait()
        writer.close()

    silent = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        async with stubs(1) as (server,):
            server.key = KEY
            port = silent.sockets[0].getsockname()[1]
            began = time.monotonic()
            refused, late = await asyncio.to_thread(problems_of, [server.url, f"http://127.0.0.1:{port}"], "wrong")
            took = time.monotonic() - began
    finally:
        hung.set()
        silent.close()
    assert refused == "refuses the key of VLLM_API_KEY, or needs one"
    assert late == f"does not answer within {ANSWER_S:g} s"
    assert took < 3 * ANSWER_S
