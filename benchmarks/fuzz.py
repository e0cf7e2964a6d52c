"""Random damaged input to a running server: no crash, no hang, no missing response, no undocumented 5xx.

    python -m benchmarks.fuzz [--minutes 5] [--parts media forms live openai deepgram flux] [--seed 1] [--quick]
        [--json out/fuzz.json]

- media: files of ten formats with damage of many kinds, in valid forms.
- forms: valid files in odd and in damaged forms.
- live: damaged WebM and Ogg in live sessions of steno's own dialect.
- openai: sessions of the OpenAI Realtime dialect: damaged events in any order, odd configurations, bad base64.
- deepgram: sessions of the Deepgram dialect: odd options in the query, damaged messages, binary garbage.
- flux: sessions of Deepgram Flux: odd thresholds in the query and in messages.

Each part gets its share of the minutes. The backend is the scripted one. The same seed gives the same requests. Exits
with 1 if anything was found, and writes those bodies to `out/fuzz`.

- requests, responses by status (of live sessions: by close code), findings: counts. `/health` must respond after each
  part.
- tracebacks: in the server's log. Target: 0.
- worst_s: the slowest response, or the longest session.
- decoders_left: decoder processes a while after the server has ended. Target: 0.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TypeAlias

import httpx
import psutil

from benchmarks import harness
from benchmarks.fuzzing import driver, live, sessions
from benchmarks.fuzzing.deepgram import deepgram_sessions
from benchmarks.fuzzing.driver import Verdict
from benchmarks.fuzzing.flux import flux_sessions
from benchmarks.fuzzing.openai import openai_sessions
from benchmarks.fuzzing.requests import form_attacks, media_attacks
from benchmarks.server import Server

Part: TypeAlias = Callable[[str, random.Random, float], Coroutine[None, None, Verdict]]
"""Attacks the server at a URL, with the requests that the dice give, for so many seconds."""

PARTS: dict[str, Part] = {
    "media": partial(driver.attack, media_attacks),
    "forms": partial(driver.attack, form_attacks),
    "live": live.attack,
    "openai": partial(sessions.attack, openai_sessions),
    "deepgram": partial(sessions.attack, deepgram_sessions),
    "flux": partial(sessions.attack, flux_sessions),
}

TARGETS = {"findings": 0.0, "tracebacks": 0.0, "decoders_left": 0.0}
HEALTH_S = 5.0
QUICK_S = 15.0
GONE_S = 15.0
OUT = Path("out/fuzz")
TRACEBACK = "Traceback (most recent call last)"
LOG_CHARS = 500
"""Before a traceback, to be shown."""


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long, in all (5)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what is attacked (all)")
    parser.add_argument("--seed", type=int, default=1, help="another one gives other requests (1)")
    options = parser.parse_args()
    report = harness.Report("fuzz", options)
    seconds = QUICK_S if options.quick else 60 * options.minutes
    found = []
    with Server(ASR_BACKEND="scripted", MODEL_ID="scripted@1ms") as server:
        for part in options.parts:
            dice = random.Random(options.seed)
            verdict = asyncio.run(PARTS[part](server.url, dice, seconds / len(options.parts)))
            _report(report, part, verdict)
            found += verdict.findings
            httpx.get(f"{server.url}/health", timeout=HEALTH_S).raise_for_status()
        log = server.log()
        decoders = server.process.children(recursive=True)
    _, left = psutil.wait_procs(decoders, GONE_S)
    report.add("findings", len(found))
    report.add("tracebacks", log.count(TRACEBACK))
    report.add("decoders_left", len(left))
    report.finish(TARGETS)
    for finding, path in zip(found, driver.keep(found, OUT), strict=True):
        print(f"{path}: {finding.what}")
    if TRACEBACK in log:
        print(log[max(0, log.index(TRACEBACK) - LOG_CHARS) :][: 10 * LOG_CHARS])
    sys.exit(1 if found or left or TRACEBACK in log else 0)


def _report(report: harness.Report, part: str, verdict: Verdict) -> None:
    report.add(f"{part}_requests", verdict.requests)
    report.add(f"{part}_worst_s", verdict.worst_s)
    for status, count in sorted(verdict.statuses.items()):
        report.add(f"{part}_{status}", count)


if __name__ == "__main__":
    main()
