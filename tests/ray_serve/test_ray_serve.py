"""steno under Ray Serve, on a cluster of this machine: real replicas, the embedded recogniser, known speech."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from ray_serve.ray_cluster import PATIENCE_S, RayCluster
from speech import TRANSCRIPTS, plain_word_error_rate
from talking import Talk, pcm_file, talk

SESSIONS = 8
SENTENCES = ("weather.flac", "letter.flac", "train.flac", "meeting.flac")
PAUSE_S = 1.2
BYTES_PER_S = 32_000
MAX_ERROR_RATE = 0.15
"""Of a session's text. A sentence that is lost or doubled is at least 0.2 of it."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with RayCluster() as running:
        yield running


@dataclass
class Speech:
    """Sentences with pauses between them."""

    pcm: bytes = b""
    ends_s: list[float] = field(default_factory=list)
    """When each sentence ends."""

    @classmethod
    def of(cls, fixtures: Path, names: tuple[str, ...]) -> Speech:
        speech = cls()
        for name in names:
            speech.pcm += pcm_file(fixtures / name)
            speech.ends_s.append(len(speech.pcm) / BYTES_PER_S)
            speech.pcm += bytes(int(PAUSE_S * BYTES_PER_S))
        return speech


def text_of(names: tuple[str, ...]) -> str:
    return " ".join(TRANSCRIPTS[name] for name in names)


def names_of(session: int) -> tuple[str, ...]:
    """Each session says the sentences in another order."""
    n = session % len(SENTENCES)
    return SENTENCES[n:] + SENTENCES[:n]


async def speak(cluster: RayCluster, speech: Speech) -> Talk:
    """Say it in real time, then ask to close, unless the server closes before."""
    async with talk(cluster) as conversation:
        listening = asyncio.create_task(conversation.until_closed())
        speaking = asyncio.create_task(conversation.say(speech.pcm, pace=1.0))
        await asyncio.wait([speaking, listening], return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            await conversation.send({"action": "close"})
        await asyncio.gather(speaking, listening, return_exceptions=True)
        return conversation


def check_finals(conversation: Talk) -> None:
    """No final repeats another, and none is out of order."""
    spans = [(final["start_s"], final["end_s"]) for final in conversation.finals]
    assert all(start < end for start, end in spans), spans
    assert all(before[1] <= after[0] + 0.01 for before, after in pairwise(spans)), spans
    drained = conversation.socket.close_code == 1012
    assert [error["code"] for error in conversation.errors] == ["DRAINING"] * drained


async def test_a_killed_engine_loses_no_final_and_doubles_none(cluster: RayCluster, fixtures: Path) -> None:
    speeches = [Speech.of(fixtures, names_of(n)) for n in range(SESSIONS)]
    talks = [asyncio.create_task(speak(cluster, speech)) for speech in speeches]
    await asyncio.sleep(7)
    assert 0 < await asyncio.to_thread(cluster.least_active) < SESSIONS  # so that both fronts have sessions
    engines = cluster.pids("Engine")
    assert sum(await cluster.sessions()) == SESSIONS
    assert min(await cluster.sessions()) > 0
    os.kill(engines[0], signal.SIGKILL)
    for n, conversation in enumerate(await asyncio.gather(*talks)):
        check_finals(conversation)
        assert conversation.socket.close_code == 1000
        assert plain_word_error_rate(text_of(names_of(n)), conversation.text) < MAX_ERROR_RATE, conversation.text
    await asyncio.to_thread(cluster.wait_for_replicas, 2, 2)
    assert engines[0] not in cluster.pids("Engine")


async def test_sessions_of_a_replica_that_is_scaled_down_get_their_finals(cluster: RayCluster, fixtures: Path) -> None:
    speeches = [Speech.of(fixtures, names_of(n) * 2) for n in range(SESSIONS)]
    talks = [asyncio.create_task(speak(cluster, speech)) for speech in speeches]
    await asyncio.sleep(7)
    assert 0 < await asyncio.to_thread(cluster.least_active) < SESSIONS
    await asyncio.to_thread(cluster.scale, 1, 1)
    ended: list[int] = []
    for n, conversation in enumerate(await asyncio.gather(*talks)):
        check_finals(conversation)
        ended.append(conversation.socket.close_code or 0)
        last_s = conversation.finals[-1]["end_s"]
        said = sum(end_s <= last_s + 0.5 for end_s in speeches[n].ends_s)
        assert said == len(speeches[n].ends_s) or conversation.socket.close_code == 1012
        expected = text_of((names_of(n) * 2)[:said])
        assert plain_word_error_rate(expected, conversation.text) < MAX_ERROR_RATE, conversation.text
        assert draining(conversation) == (conversation.socket.close_code == 1012)
    assert set(ended) == {1000, 1012}
    assert cluster.states("Front") == cluster.states("Engine") == ["RUNNING"]


def draining(conversation: Talk) -> bool:
    return any(message.get("status") == "draining" for message in conversation.messages)


async def test_an_upload_is_recognised_by_an_engine(cluster: RayCluster, fixtures: Path) -> None:
    answers: list[Any] = await asyncio.gather(
        *(asyncio.to_thread(upload, cluster, fixtures, name) for name in SENTENCES)
    )
    for name, answer in zip(SENTENCES, answers, strict=True):
        assert plain_word_error_rate(TRANSCRIPTS[name], answer) < 2 * MAX_ERROR_RATE  # of one sentence


def upload(cluster: RayCluster, fixtures: Path, name: str) -> str:
    files = {"file": (name, (fixtures / name).read_bytes())}
    response = httpx.post(f"{cluster.url}/v1/audio/transcriptions", files=files, timeout=PATIENCE_S)
    text: str = response.raise_for_status().json()["text"]
    return text
