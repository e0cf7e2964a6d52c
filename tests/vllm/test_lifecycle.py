"""A real server on vLLM that unloads when idle, loads again, and ends at Ctrl-C with the last finals delivered."""

from __future__ import annotations

import asyncio
import os
import signal

import psutil
import pytest

from dialects import pcm
from running import STOP_S, RunningServer, is_alive, post, until
from talking import talk
from tiny.clips import ASR, clips, word_error_rate

START_S = 120.0
MAX_LEFT = 0.5
"""Memory that the server may keep of what it and its engine used while loaded."""


class GroupServer(RunningServer):
    """A server as a terminal starts it."""

    own_group = True

    def interrupt(self) -> None:
        """What a terminal sends at Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)


def resident_mb(server: RunningServer) -> float:
    """Of the server and all processes that it has started."""
    processes = [psutil.Process(server.process.pid), *server.children()]
    return sum(process.memory_info().rss for process in processes) / 1e6


@pytest.mark.timeout(280)
async def test_an_idle_engine_is_ended_and_started_again_and_ctrl_c_delivers_the_last_finals() -> None:
    clip = clips()["english-0"]
    settings = {"USE_VLLM": "true", "MODEL_ID": str(ASR), "ALIGNER": "none", "MAX_SLOTS": "4", "IDLE_TIMEOUT": "1"}
    with GroupServer(**settings) as server:
        texts = [post(server, clip.path, timeout=START_S).json()["text"]]
        engines = [child for child in server.children() if "vllm" in child.name().lower()]
        assert engines
        loaded_mb = resident_mb(server)
        until(lambda: server.health()["model_state"] == "unloaded")
        assert not any(is_alive(engine) for engine in engines)
        assert resident_mb(server) <= MAX_LEFT * loaded_mb
        texts.append(post(server, clip.path, timeout=START_S).json()["text"])
        assert word_error_rate([clip.text] * 2, texts) <= 0.1
        async with talk(server) as conversation:
            await conversation.say(pcm(clip))
            await conversation.next(is_partial=True)
            processes = server.children()
            server.interrupt()
            await asyncio.wait_for(conversation.until_closed(), START_S)
        assert word_error_rate([clip.text], [conversation.text]) <= 0.1
        assert server.process.wait(STOP_S) == 0
        until(lambda: not any(map(is_alive, processes)), STOP_S)
