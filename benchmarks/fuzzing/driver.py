"""Sends attacks to a server and checks the responses."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.fuzzing.requests import Attack

CLIENTS = 4
HANG_S = 60.0
"""A response that takes longer is a hang; the server's own time-out for a decoder is 10 s of CPU."""

DOCUMENTED_5XX = {503, 504}
"""`docs/api.md`: come back later, and the request's time is up."""

MAX_FINDINGS = 20
"""Then the run ends: it has shown enough."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A failure, and the request that caused it."""

    what: str
    attack: Attack


@dataclass(slots=True)
class Verdict:
    """The results of a run."""

    statuses: Counter[int] = field(default_factory=Counter)
    by_attack: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    worst_s: float = 0.0
    """The slowest response."""

    @property
    def requests(self) -> int:
        return sum(self.by_attack.values())


async def attack(
    make_attacks: Callable[[random.Random], Iterator[Attack]], url: str, dice: random.Random, seconds: float
) -> Verdict:
    """Send attacks to the server at `url` for a time, a few in parallel, and collect failures."""
    verdict, attacks = Verdict(), make_attacks(dice)
    end = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=url, timeout=HANG_S) as client, asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(_client(client, attacks, end, verdict))
    return verdict


async def _client(client: httpx.AsyncClient, attacks: Iterator[Attack], end: float, verdict: Verdict) -> None:
    while time.monotonic() < end and len(verdict.findings) < MAX_FINDINGS:
        one = next(attacks)
        verdict.by_attack[one.name] += 1
        began = time.monotonic()
        what = await _fault_of(client, one, verdict)
        verdict.worst_s = max(verdict.worst_s, time.monotonic() - began)
        if what is not None:
            verdict.findings.append(Finding(what, one))


async def _fault_of(client: httpx.AsyncClient, one: Attack, verdict: Verdict) -> str | None:
    """What is wrong with the response; None = nothing."""
    try:
        answer = await client.post(one.path, content=one.body, headers={"Content-Type": one.content_type})
    except httpx.TimeoutException:
        return f"no answer within {HANG_S:g} s"
    except httpx.HTTPError as error:
        return f"no answer: {type(error).__name__} {error}"
    verdict.statuses[answer.status_code] += 1
    if answer.status_code >= 500 and answer.status_code not in DOCUMENTED_5XX:
        return f"status {answer.status_code}: {answer.text[:200]}"
    if answer.status_code >= 400 and not _is_error_body(answer):
        return f"status {answer.status_code} without the error body: {answer.text[:200]!r}"
    return None


def _is_error_body(answer: httpx.Response) -> bool:
    try:
        body = answer.json()
    except ValueError:
        return False
    return isinstance(body, dict) and {"error", "code", "message", "statusCode", "context"} <= body.keys()


def keep(findings: list[Finding], folder: Path) -> list[Path]:
    """Write the bodies that caused findings, for replay."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, finding in enumerate(findings):
        path = folder / f"{number}-{finding.attack.name.replace(' ', '-')}.body"
        path.write_bytes(finding.attack.body)
        path.with_suffix(".txt").write_text(
            f"{finding.what}\nPOST {finding.attack.path}\nContent-Type: {finding.attack.content_type}\n",
            encoding="utf-8",
        )
        paths.append(path)
    return paths
