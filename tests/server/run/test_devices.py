"""`DEVICES`: a worker process for each device. Both are CPUs here, and recognition is scripted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from running import RunningServer, post, until
from talking import BYTES_PER_S, pcm_file, talk

SCRIPTED = {"ASR_BACKEND": "scripted", "MODEL_ID": "scripted@5ms", "DEVICES": "cpu,cpu", "LIVE_BY_LOAD": "false"}


def workers_of(server: RunningServer) -> list[psutil.Process]:
    return server.children("worker")


@pytest.mark.slow
@pytest.mark.parametrize("fronts", ["1", "2"])
async def test_each_device_has_a_worker_and_sessions_outlive_either(fixtures: Path, fronts: str) -> None:
    pcm = pcm_file(fixtures / "train.flac")
    with RunningServer(**SCRIPTED, FRONTS=fronts) as server:
        post(server, fixtures / "train.flac").raise_for_status()
        workers = workers_of(server)
        assert [worker.environ()["DEVICE"] for worker in workers] == ["cpu", "cpu"]
        async with talk(server) as first, talk(server) as second:
            listening = [asyncio.create_task(each.until_closed()) for each in (first, second)]
            for n, worker in enumerate(workers):
                for each in (first, second):
                    await each.say(pcm[n * BYTES_PER_S : (n + 1) * BYTES_PER_S], pace=4)
                worker.kill()
            for each in (first, second):
                await each.say(pcm[len(workers) * BYTES_PER_S :], pace=4)
                await each.send({"action": "close"})
            await asyncio.gather(*listening)
        assert first.text == second.text != ""
        assert first.errors == second.errors == []
        until(lambda: len(workers_of(server)) == len(workers))
        post(server, fixtures / "train.flac").raise_for_status()
        assert server.stop() == 0
