"""A real server with `USE_VLLM=true` and tiny weights: HTTP, SSE, SRT, live dialects, engines that die, its end."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import psutil
import pytest
import srt

from dialects import Dialect, deepgram, native, openai, pcm
from running import RunningServer, is_alive, post, until
from talking import Talk, talk
from tiny.clips import ASR, clips, word_error_rate

VLLM = {"USE_VLLM": "true", "MODEL_ID": str(ASR), "ALIGNER": "none", "MAX_SLOTS": "8"}
ENGINE = "VLLM::EngineCore"
START_S = 120.0
END_S = 10.0
"""Time for the engine to end after a server that was killed."""
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(**VLLM, PRELOAD="true") as server:
        until(lambda: server.get("/ready").status_code == 200, START_S)
        yield server


def transcribe(server: RunningServer, name: str, **form: Any) -> httpx.Response:
    answer = post(server, clips()[name].path, **form)
    assert answer.status_code == 200, answer.text
    return answer


def engine_of(server: RunningServer) -> psutil.Process | None:
    """vLLM's engine, a child process of the server."""
    for child in server.children():
        if "EngineCore" in child.name() or any(ENGINE in word for word in child.cmdline()):
            return child
    return None


def test_health_says_that_vllm_recognises(server: RunningServer) -> None:
    health = server.health()
    assert (health["mode"], health["backend"], health["status"]) == ("vllm", "vllm", "ok")
    assert health["restarting"] is None
    assert engine_of(server) is not None


def test_http_reads_every_clip_and_names_its_language(server: RunningServer) -> None:
    answers = {name: transcribe(server, name, response_format="verbose_json").json() for name in clips()}
    texts = [clip.text for clip in clips().values()]
    assert word_error_rate(texts, [answer["text"] for answer in answers.values()]) <= 0.05
    assert [answer["language"] for answer in answers.values()] == [
        {"en": "english", "de": "german"}[clip.language] for clip in clips().values()
    ]


def test_events_over_sse_add_up_to_the_text(server: RunningServer) -> None:
    lines = transcribe(server, "talk", stream="true").text.splitlines()
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    done = next(event for event in events if event["type"] == "transcript.text.done")
    assert "".join(event["delta"] for event in events if event["type"] == "transcript.text.delta") == done["text"]
    assert word_error_rate([clips()["talk"].text], [done["text"]]) <= 0.05


def test_subtitles_have_the_text_in_order(server: RunningServer) -> None:
    cues = list(srt.parse(transcribe(server, "talk", response_format="srt").text))
    heard = " ".join(cue.content.replace("\n", " ") for cue in cues)
    assert word_error_rate([clips()["talk"].text], [heard]) <= 0.05
    assert all(cue.start < cue.end <= following.start for cue, following in pairwise(cues))


@pytest.mark.parametrize("dialect", [native, openai, deepgram])
async def test_the_live_dialects(server: RunningServer, dialect: Dialect) -> None:
    clip = clips()["talk"]
    assert word_error_rate([clip.text], [await dialect(server, clip)]) <= 0.05


async def test_speech_without_a_pause_is_cut_and_no_word_is_lost(server: RunningServer) -> None:
    clip = clips()["long-talk"]
    assert word_error_rate([clip.text], [await native(server, clip)]) <= 0.05


async def test_a_killed_engine_is_started_again_and_live_sessions_go_on(server: RunningServer) -> None:
    """A final that the engine had not completed is repeated; `/health` shows the restart meanwhile."""
    clip = clips()["talk"]
    data = pcm(clip)
    half = len(data) // 2 // 2 * 2
    async with talk(server) as first, talk(server) as second:
        listeners = [asyncio.create_task(_listen(each)) for each in (first, second)]
        await asyncio.gather(*(each.say(data[:half], pace=8) for each in (first, second)))
        engine = engine_of(server)
        assert engine is not None
        engine.send_signal(signal.SIGKILL)
        speaking = [asyncio.create_task(each.say(data[half:], pace=8)) for each in (first, second)]
        health = await _degraded(server)
        assert "vLLM's engine died" in str(health["restarting"])
        assert health["model_loaded"] is False
        await asyncio.gather(*speaking)
        for each in (first, second):
            await each.send({"action": "close"})
        await asyncio.wait_for(asyncio.gather(*listeners), START_S)
    for each in (first, second):
        assert {error["code"] for error in each.errors} <= {"backend_crashed"}
        assert word_error_rate([clip.text], [each.text]) <= 0.05
    assert (server.health()["status"], server.health()["restarting"]) == ("ok", None)
    again = engine_of(server)
    assert again is not None
    assert again.pid != engine.pid


def test_an_engine_that_dies_between_requests_comes_back_by_itself_and_ends_with_a_killed_server(
    server: RunningServer,
) -> None:
    """The last test of this server, which it kills."""
    died = engine_of(server)
    assert died is not None
    died.kill()
    until(lambda: server.health()["restarting"] is not None)
    until(lambda: server.health()["restarting"] is None, START_S)
    engine = engine_of(server)
    assert engine is not None
    assert engine.pid != died.pid
    processes = server.children()
    server.process.kill()
    until(lambda: not any(map(is_alive, processes)), END_S)


async def _listen(conversation: Talk) -> None:
    async for message in conversation.socket:
        conversation.messages.append(json.loads(message))


async def _degraded(server: RunningServer) -> dict[str, object]:
    async with asyncio.timeout(30):
        while (health := await asyncio.to_thread(server.health))["status"] != "degraded":
            await asyncio.sleep(0.05)
    return health
