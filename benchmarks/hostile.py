"""Effect of hostile clients on others: attacks on the default server, with eight live sessions during each.

    python -m benchmarks.hostile [--quick] [--seconds 10] [--only NAME] [--granian] [--json out/hostile.json]

For each attack of `benchmarks.attacks`:

- NAME_health_ms: the slowest `/health` during the attack. Target: 300.
- NAME_grown_mb: peak growth of the server's memory. Target: 150.
- NAME_kept_mb: growth that remains after the attack. Target: 50.
- NAME_lost: live sessions of the eight whose text differs from that of the same audio alone. Target: 0.

This process requests `/health`, and another attacks: on a busy machine the slowest response is an upper bound.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import websockets

from benchmarks import harness
from benchmarks.attacks import ATTACKS, attacked
from benchmarks.server import Server
from benchmarks.speech import BYTES_PER_S, pattern

QUICK_S, LONG_S = 2.0, 10.0
TARGETS = {"health_ms": 300.0, "grown_mb": 150.0, "kept_mb": 50.0, "lost": 0.0}
SESSIONS = 8
FRAME_S, PACE = 0.1, 4.0
"""Live sessions say so much at once, and talk so many times as fast as people."""
ASK_EVERY_S = 0.02
SETTLE_S = 10.0
"""The server gets so long to give memory back."""
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Damage:
    """The effect of an attack; the fields are the targets' names."""

    health_ms: float
    grown_mb: float
    kept_mb: float
    lost: float


def main() -> None:
    options = _options()
    report = harness.Report("hostile", options)
    seconds = QUICK_S if options.quick else options.seconds
    names = options.only or [attack.name for attack in ATTACKS]
    damages = measure(names, seconds, USE_GRANIAN=str(options.granian))
    targets = {}
    for attack, damage in damages.items():
        for name, most in TARGETS.items():
            report.add(f"{attack}_{name}", getattr(damage, name))
            targets[f"{attack}_{name}"] = most
    report.finish(targets)


def measure(names: Sequence[str], seconds: float, **environment: str) -> dict[str, Damage]:
    """The damage of each attack, by name, to one server that gets all of them in turn."""
    with Server(ASR_BACKEND="scripted", **environment) as server:
        damages = {}
        for name in names:
            damages[name] = damage_of(server, name, seconds)
            print(f"{name}: {damages[name]}", flush=True)
        return damages


def damage_of(server: Server, name: str, seconds: float) -> Damage:
    """The damage of one attack to a server with the scripted backend.

    Raises:
        RuntimeError: the server died.
    """
    damage = asyncio.run(_damage(server, name, seconds))
    if not server.process.is_running():
        raise RuntimeError(f"{name} ended the server")
    return damage


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=LONG_S, help="how long each attack lasts")
    parser.add_argument("--only", action="append", help="an attack's name; may be given more than once")
    parser.add_argument("--granian", action="store_true", help="attack the server as granian runs it")
    return parser.parse_args()


async def _damage(server: Server, name: str, seconds: float) -> Damage:
    pcm = pattern(seconds)
    (alone,) = await _texts(server, pcm, sessions=1)
    before_mb = most_mb = server.rss_mb()
    slowest_s = 0.0
    talking = asyncio.create_task(_texts(server, pcm, sessions=SESSIONS))
    until = time.monotonic() + seconds
    async with httpx.AsyncClient(timeout=PATIENCE_S, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        with attacked(server.url, name, seconds):
            while time.monotonic() < until:
                slowest_s = max(slowest_s, await _health_s(client, server.url))
                most_mb = max(most_mb, server.rss_mb())
                await asyncio.sleep(ASK_EVERY_S)
            texts = await talking
    return Damage(
        health_ms=round(1000 * slowest_s, 1),
        grown_mb=round(most_mb - before_mb, 1),
        kept_mb=round(await _settled_mb(server, before_mb) - before_mb, 1),
        lost=sum(text != alone for text in texts),
    )


async def _health_s(client: httpx.AsyncClient, url: str) -> float:
    """Seconds until `/health` answers on a new connection; a refusal counts as the longest wait."""
    began = time.perf_counter()
    try:
        (await client.get(f"{url}/health")).raise_for_status()
    except httpx.HTTPError:
        return PATIENCE_S
    return time.perf_counter() - began


async def _settled_mb(server: Server, goal_mb: float) -> float:
    """The server's memory when it is down to the goal, or after `SETTLE_S`."""
    for _ in range(round(SETTLE_S / 0.1)):
        if server.rss_mb() <= goal_mb + TARGETS["kept_mb"]:
            break
        await asyncio.sleep(0.1)
    return server.rss_mb()


async def _texts(server: Server, pcm: bytes, sessions: int) -> list[str]:
    return await asyncio.gather(*(_text(server, pcm) for _ in range(sessions)))


async def _text(server: Server, pcm: bytes) -> str:
    """All finals of one live session that sends `pcm` at `PACE`; empty if the server refused it."""
    url = f"{server.url.replace('http', 'ws')}/ws/transcribe"
    frame = round(FRAME_S * BYTES_PER_S)
    try:
        async with asyncio.timeout(PATIENCE_S), websockets.connect(url, ping_timeout=None) as socket:
            for at in range(0, len(pcm), frame):
                await socket.send(pcm[at : at + frame])
                await asyncio.sleep(FRAME_S / PACE)
            await socket.send('{"action": "close"}')
            messages = [json.loads(message) async for message in socket]
    except (OSError, TimeoutError, websockets.WebSocketException):
        return ""
    return " ".join(message["text"] for message in messages if message.get("is_final"))


if __name__ == "__main__":
    main()
