"""Recordings through the server, so many at once: throughput, latency, and the time to the first text."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROUTE = "/v1/audio/transcriptions"
REQUEST_S = 120.0
STAGE = re.compile(r"(\w+);dur=([\d.]+)")


@dataclass(frozen=True)
class Recording:
    """An encoded file, and how long it is."""

    name: str
    data: bytes
    seconds: float


@dataclass
class Served:
    """The results of a run."""

    wall_s: float = 0.0
    audio_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    stages_ms: dict[str, list[float]] = field(default_factory=dict)
    """What the server says of each in `Server-Timing`."""


def read_recordings(folder: Path) -> list[Recording]:
    """All FLAC files of a folder."""
    import av

    found = []
    for file in sorted(folder.glob("*.flac")):
        with av.open(str(file)) as container:
            found.append(Recording(file.name, file.read_bytes(), float(container.duration or 0) / 1_000_000))
    return found


def upload_all(url: str, recordings: Sequence[Recording], at_once: int, count: int) -> Served:
    """Upload `count` recordings in turn, `at_once` at a time."""
    served = Served()

    async def one(client: httpx.AsyncClient, number: int) -> None:
        recording = recordings[number % len(recordings)]
        began = time.perf_counter()
        answer = await client.post(ROUTE, files={"file": (recording.name, recording.data)}, data={"language": "en"})
        answer.raise_for_status()
        assert answer.json()["text"], f"{recording.name} has no text"
        served.latencies_s.append(time.perf_counter() - began)
        served.audio_s += recording.seconds
        for stage, ms in STAGE.findall(answer.headers["Server-Timing"]):
            served.stages_ms.setdefault(stage, []).append(float(ms))

    began = time.perf_counter()
    asyncio.run(_in_turn(url, one, at_once, count))
    served.wall_s = time.perf_counter() - began
    return served


def first_text_s(url: str, recording: Recording, at_once: int, count: int) -> list[float]:
    """Seconds from each request until the first text of its stream of events."""
    found: list[float] = []

    async def one(client: httpx.AsyncClient, _: int) -> None:
        began = time.perf_counter()
        data = {"language": "en", "stream": "true"}
        files = {"file": (recording.name, recording.data)}
        async with client.stream("POST", ROUTE, files=files, data=data) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if "transcript.text.delta" in line:
                    found.append(time.perf_counter() - began)
                    return
        raise AssertionError(f"{recording.name} has no text")

    asyncio.run(_in_turn(url, one, at_once, count))
    return found


async def _in_turn(
    url: str, one: Callable[[httpx.AsyncClient, int], Awaitable[None]], at_once: int, count: int
) -> None:
    free = asyncio.Semaphore(at_once)
    limits = httpx.Limits(max_connections=at_once)

    async def when_free(client: httpx.AsyncClient, number: int) -> None:
        async with free:
            await one(client, number)

    async with (
        httpx.AsyncClient(base_url=url, timeout=REQUEST_S, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        for number in range(count):
            group.create_task(when_free(client, number))
