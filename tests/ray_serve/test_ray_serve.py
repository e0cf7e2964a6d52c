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
from speech import word_error_rate
from talking import Talk, pcm_file, talk

SESSIONS = 8
SENTENCES = ("weather.flac", "letter.flac", "train.flac", "meeting.flac")
PAUSE_S = 1.2
START_S = 0.5
BYTES_PER_S = 32_000
MAX_ERROR_RATE = 0.3
"""Of a sentence: "be at the" may be heard as "de-author"; one that is lost or doubled has 1.0."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with RayCluster() as running:
        yield running


@dataclass
class Speech:
    """Sentences with pauses between them."""

    names: tuple[str, ...]
    pcm: bytes = b""
    ends_s: list[float] = field(default_factory=list)
    """When each sentence ends."""

    @classmethod
    def of(cls, fixtures: Path, names: tuple[str, ...]) -> Speech:
        speech = cls(names)
        for name in names:
            speech.pcm += pcm_file(fixtures / name)
            speech.ends_s.append(len(speech.pcm) / BYTES_PER_S)
            speech.pcm += bytes(int(PAUSE_S * BYTES_PER_S))
        return speech


def names_of(session: int) -> tuple[str, ...]:
    """Each session says the sentences in another order."""
    n = session % len(SENTENCES)
    return SENTENCES[n:] + SENTENCES[:n]


async def start_sessions(cluster: RayCluster, speeches: list[Speech]) -> list[asyncio.Task[Talk]]:
    """One after the other: of requests that come at the same moment Serve's router may send all to one front."""
    talks = []
    for speech in speeches:
        talks.append(asyncio.create_task(speak(cluster, speech)))
        await asyncio.sleep(START_S)
    return talks


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


def check_finals(conversation: Talk, speech: Speech) -> int:
    """All sentences up to the last final have their text, once and in order. Returns their number."""
    spans = [(final["start_s"], final["end_s"]) for final in conversation.finals]
    assert all(start < end for start, end in spans), spans
    assert all(before[1] <= after[0] + 0.01 for before, after in pairwise(spans)), spans
    drained = conversation.socket.close_code == 1012
    assert [error["code"] for error in conversation.errors] == ["DRAINING"] * drained
    said = sum(end_s <= spans[-1][1] + 0.5 for end_s in speech.ends_s)
    began_s = 0.0
    for name, end_s in list(zip(speech.names, speech.ends_s, strict=True))[:said]:
        its = [
            final["text"] for final in conversation.finals if began_s <= (final["start_s"] + final["end_s"]) / 2 < end_s
        ]
        assert word_error_rate(name, " ".join(its)) < MAX_ERROR_RATE, (name, conversation.text)
        began_s = end_s
    return said


async def test_a_killed_engine_loses_no_final_and_doubles_none(cluster: RayCluster, fixtures: Path) -> None:
    speeches = [Speech.of(fixtures, names_of(n)) for n in range(SESSIONS)]
    talks = await start_sessions(cluster, speeches)
    await asyncio.sleep(3)
    assert 0 < await asyncio.to_thread(cluster.least_active) < SESSIONS  # so that both fronts have sessions
    engines = cluster.pids("Engine")
    assert sum(await cluster.sessions()) == SESSIONS
    assert min(await cluster.sessions()) > 0
    os.kill(engines[0], signal.SIGKILL)
    for conversation, speech in zip(await asyncio.gather(*talks), speeches, strict=True):
        assert conversation.socket.close_code == 1000
        assert check_finals(conversation, speech) == len(SENTENCES)
    await asyncio.to_thread(cluster.wait_for_replicas, 2, 2)
    assert engines[0] not in cluster.pids("Engine")


async def test_sessions_of_a_replica_that_is_scaled_down_get_their_finals(cluster: RayCluster, fixtures: Path) -> None:
    speeches = [Speech.of(fixtures, names_of(n) * 2) for n in range(SESSIONS)]
    talks = await start_sessions(cluster, speeches)
    await asyncio.sleep(3)
    assert 0 < await asyncio.to_thread(cluster.least_active) < SESSIONS
    await asyncio.to_thread(cluster.scale, 1, 1)
    ended: list[int | None] = []
    for conversation, speech in zip(await asyncio.gather(*talks), speeches, strict=True):
        ended.append(conversation.socket.close_code)
        assert is_draining(conversation) == (ended[-1] == 1012)
        assert check_finals(conversation, speech) == len(speech.names) or ended[-1] == 1012
    assert set(ended) == {1000, 1012}
    assert cluster.states("Front") == cluster.states("Engine") == ["RUNNING"]


def is_draining(conversation: Talk) -> bool:
    return any(message.get("status") == "draining" for message in conversation.messages)


async def test_an_upload_is_recognised_by_an_engine(cluster: RayCluster, fixtures: Path) -> None:
    answers: list[Any] = await asyncio.gather(
        *(asyncio.to_thread(upload, cluster, fixtures, name) for name in SENTENCES)
    )
    for name, answer in zip(SENTENCES, answers, strict=True):
        assert word_error_rate(name, answer) < MAX_ERROR_RATE


def upload(cluster: RayCluster, fixtures: Path, name: str) -> str:
    files = {"file": (name, (fixtures / name).read_bytes())}
    response = httpx.post(f"{cluster.url}/v1/audio/transcriptions", files=files, timeout=PATIENCE_S)
    text: str = response.raise_for_status().json()["text"]
    return text
