"""Damaged WebM and Ogg through live sessions of steno's own dialect."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator

import websockets

from benchmarks.fuzzing import media
from benchmarks.fuzzing.driver import CLIENTS, HANG_S, MAX_FINDINGS, Finding, Verdict
from benchmarks.fuzzing.requests import Attack

CONTAINERS = {"webm": "webm", "mkv": "webm", "ogg": "ogg"}
"""The session's encoding for each format."""

OPUS_OF_SEVEN_ONE = media.Format("ogg", "ogg", "libopus", "flt", "7.1")

PROPER_CODES = {1000, 1001, 1012, 1013}
"""Allowed close codes (`docs/live.md`); 1011 is a server error."""

CLOSE = json.dumps({"action": "close"})


def live_attacks(dice: random.Random) -> Iterator[Attack]:
    """Endless damaged streams, some of them of two recordings."""
    seeds = [(name, media.encoded(format)) for format in media.FORMATS if (name := format.name) in CONTAINERS]
    seeds.append(("ogg", media.encoded(OPUS_OF_SEVEN_ONE)))
    while True:
        for name, data in seeds:
            other = dice.choice(seeds)[1]
            body = media.damaged(data, other, dice)
            if dice.random() < 0.3:
                body += media.damaged(other, data, dice)
            yield Attack(f"live {name}", f"/ws/transcribe?encoding={CONTAINERS[name]}", body, "")


async def attack(url: str, dice: random.Random, seconds: float) -> Verdict:
    """Run sessions with the server at `url` for a time, a few in parallel, and collect failures."""
    verdict, attacks = Verdict(), live_attacks(dice)
    end = time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < end and len(verdict.findings) < MAX_FINDINGS:
            one = next(attacks)
            verdict.by_attack[one.name] += 1
            began = time.monotonic()
            what = await _fault_of(url.replace("http", "ws", 1), one, dice.choice([100, 3000, 1 << 20]), verdict)
            verdict.worst_s = max(verdict.worst_s, time.monotonic() - began)
            if what is not None:
                verdict.findings.append(Finding(what, one))

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
    return verdict


async def _fault_of(url: str, one: Attack, frame_bytes: int, verdict: Verdict) -> str | None:
    """What is wrong with the session; None = nothing."""
    try:
        async with asyncio.timeout(HANG_S), websockets.connect(url + one.path) as socket:
            await asyncio.gather(_send(socket, one.body, frame_bytes), _drain(socket))
    except TimeoutError:
        return f"the session did not end within {HANG_S:g} s"
    except (OSError, websockets.WebSocketException) as error:
        return f"no session: {type(error).__name__} {error}"
    code = socket.close_code or 0
    verdict.statuses[code] += 1
    return None if code in PROPER_CODES else f"close code {code}: {socket.close_reason}"


async def _send(socket: websockets.ClientConnection, data: bytes, frame_bytes: int) -> None:
    try:
        for start in range(0, len(data), frame_bytes):
            await socket.send(data[start : start + frame_bytes])
        await socket.send(CLOSE)
    except websockets.ConnectionClosed:
        pass  # the close code says whether it may


async def _drain(socket: websockets.ClientConnection) -> None:
    async for _ in socket:
        pass
