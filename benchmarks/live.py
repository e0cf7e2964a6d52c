"""Live streams: how many fit, lag of their text, cost per stream.

    python -m benchmarks.live [--sessions 50] [--seconds 60] [--backend scripted] [--quick] [--json out/live.json]
    python -m benchmarks.live --find-max --bound-ms 700
    python -m benchmarks.live --sweep 25 100 200
    python -m benchmarks.live --fronts 2
    python -m benchmarks.live --backend qwen --model tests/tiny/tiny-asr --say tests/tiny/clips/talk.flac --sessions 8

`--json FILE` also writes a plot of the lags and a report in HTML beside it.

Real-time streams, each with frames of 100 ms and three fifths of speech, to a server in a process of its own; this
process is the load. All send the same talk, each from another position, so that their pauses do not coincide. With the
scripted backend recognition is free, so the cost is the server's own.

- partial_lag_p50/95/99_ms: from sending the last audio of a partial until its text arrived.
- final_lag_p50/95_ms: the same for finals, from the end of the segment, `VAD_SILENCE_MS` after its last speech.
- alone_p95_ms, p95_added_lag_ms: p95 of partials of one stream alone, and the lag that other streams add. Target: 100.
- cpu_ms_per_100ms_audio: CPU time of the server and its children. Target: 0.3.
- vad_share: share of CPU time used by the VAD.
- rss_mb_per_stream: growth of memory per stream. Target: 1.
- revision_rate: share of partials that changed text of an earlier one.
- stable_divergence: finals whose text contradicted stable text already sent.
- late_sends: frames that this process sent over 50 ms late; if not near 0, the load is the bottleneck.
- max_streams (with --find-max): max streams that keep the p95 of partials under the bound.
- lag_p50_ms, lag_p95_ms (series in the JSON): lag of partials by the number of streams, for each number of --sweep, one
  stream and --sessions.

`--fronts N` compares N fronts (`FRONTS`) with one, both in front of one worker process, in the same run:

- max_streams_1_front, max_streams_N_fronts, fronts_gain: as max_streams, and their ratio. Target on a machine with a
  core for each front, for the worker and for the load: 1.6.
- busy_front, busy_worker, busy_load: cores that a front (the mean), the worker and this process used in the best try.
  The run says which of them was the bound, or whether it was the machine.
- front_ms_per_100ms_audio: CPU time of the fronts alone. If it is the same with N fronts, they carry N times as much on
  a machine that has the cores.
- front_spread: the busiest front's share of the work of all fronts.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import websockets

from benchmarks import harness, speech
from benchmarks.server import Server
from benchmarks.speech import BYTES_PER_S

TARGETS = {"cpu_ms_per_100ms_audio": 0.3, "p95_added_lag_ms": 100.0, "rss_mb_per_stream": 1.0}
LIMITS = {"MAX_SESSIONS": "100000", "MAX_CONNECTIONS": "100000", "LIVE_BY_LOAD": "false"}
"""None: how many fit is found out by trying."""
FRAME_S = 0.1
LATE_S = 0.05
WARM_UP_S = 3.0


@dataclass
class Heard:
    """The messages of all streams of a run."""

    partial_lags_s: list[float] = field(default_factory=list)
    final_lags_s: list[float] = field(default_factory=list)
    partials: int = 0
    revised: int = 0
    finals: int = 0
    frames: int = 0
    late: int = 0


def main() -> None:
    options = _options()
    report = harness.Report("live", options)
    seconds = 15.0 if options.quick else options.seconds
    if options.fronts > 1:
        from benchmarks.live_fronts import compare

        compare(report, options, seconds)
        report.finish({})
        return
    with _server(options) as server:
        alone = asyncio.run(load(server.url, options.say, 1, seconds))
    alone_p95_ms = ms(alone.partial_lags_s, 95)
    if options.find_max:
        report.add("max_streams", _find_max(options, seconds))
    with _server(options) as server:
        heard = _measure(report, server, options.say, options.sessions, seconds)
    _sweep(report, options, seconds, {1: alone, options.sessions: heard})
    summary = report.summary()
    report.add("alone_p95_ms", alone_p95_ms)
    report.add("p95_added_lag_ms", summary["partial_lag_p95_ms"] - alone_p95_ms)
    targets = TARGETS if options.backend == "scripted" else {}
    lines = {"partials": _distribution(heard.partial_lags_s), "finals": _distribution(heard.final_lags_s)}
    for name, points in lines.items():
        report.add_series(f"{name}_distribution", points)
    report.finish(targets)
    if options.json:
        plot = options.json.with_suffix(".png")
        title = f"How soon text comes, {options.sessions} streams, {options.backend}"
        harness.plot_lines(plot, title, "ms after its audio", "% of them", lines)
        report.write_html(options.json.with_suffix(".html"), targets, [plot])


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--sessions", type=int, default=50, help="streams at once")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each talks")
    parser.add_argument("--backend", default="scripted", help="the server's ASR_BACKEND")
    parser.add_argument("--model", help="the server's MODEL_ID")
    parser.add_argument("--say", type=Path, default=speech.SAMPLE, help="the recording that is said, again and again")
    parser.add_argument("--find-max", action="store_true", help="search the most streams under --bound-ms")
    parser.add_argument("--bound-ms", type=float, default=700.0, help="for --find-max: p95 of partials' lag")
    parser.add_argument("--sweep", type=int, nargs="+", default=[], help="further numbers of streams, each by itself")
    parser.add_argument("--fronts", type=int, default=1, help="compare so many fronts with one")
    return parser.parse_args()


def _server(options: argparse.Namespace) -> Server:
    model = {"MODEL_ID": "scripted@1ms", "SPHINX_WORKERS": "64"} if options.backend == "scripted" else {}
    if options.model:
        model["MODEL_ID"] = options.model
    return Server(ASR_BACKEND=options.backend, **LIMITS, **model)


def _measure(report: harness.Report, server: Server, say: Path, sessions: int, seconds: float) -> Heard:
    asyncio.run(load(server.url, say, 1, 5.0))  # loads the model and the VAD
    cpu_s, rss_mb = server.cpu_s(), server.rss_mb()
    vad_s = _metric(server, "steno_vad_busy_seconds_total")
    most_mb = [rss_mb]
    heard = asyncio.run(load(server.url, say, sessions, seconds, lambda: most_mb.append(server.rss_mb())))
    cpu_s = server.cpu_s() - cpu_s
    for percent in (50, 95, 99):
        report.add(f"partial_lag_p{percent}_ms", ms(heard.partial_lags_s, percent))
    for percent in (50, 95):
        report.add(f"final_lag_p{percent}_ms", ms(heard.final_lags_s, percent))
    audio_s = heard.frames * FRAME_S
    report.add("cpu_ms_per_100ms_audio", 100 * cpu_s / audio_s)
    report.add("vad_share", (_metric(server, "steno_vad_busy_seconds_total") - vad_s) / cpu_s)
    report.add("rss_mb_per_stream", (max(most_mb) - rss_mb) / sessions)
    report.add("revision_rate", heard.revised / max(heard.partials, 1))
    report.add("stable_divergence", _metric(server, "steno_live_diverged_finals_total") / max(heard.finals, 1))
    report.add("late_sends", heard.late / heard.frames)
    report.add("sessions", sessions)
    return heard


def _sweep(report: harness.Report, options: argparse.Namespace, seconds: float, heard: dict[int, Heard]) -> None:
    """Lag by the number of streams; each number gets a new server."""
    for sessions in options.sweep:
        with _server(options) as server:
            asyncio.run(load(server.url, options.say, 1, 5.0))
            heard[sessions] = asyncio.run(load(server.url, options.say, sessions, seconds))
        run = heard[sessions]
        lag_ms = ms(run.partial_lags_s, 95)
        print(f"{sessions} streams: p95 {lag_ms:.0f} ms, {run.late / run.frames:.1%} sent late", flush=True)
    for percent in (50, 95):
        points = [(float(sessions), ms(run.partial_lags_s, percent)) for sessions, run in sorted(heard.items())]
        report.add_series(f"lag_p{percent}_ms", points)


def _find_max(options: argparse.Namespace, seconds: float) -> int:
    """Max streams, by doubling and then bisection, with a new server for each try."""
    least, most = 0, 0
    for sessions in itertools.count():
        asked = options.sessions * 2**sessions if not most else (least + most) // 2
        with _server(options) as server:
            heard = asyncio.run(load(server.url, options.say, asked, seconds))
        lag_ms = ms(heard.partial_lags_s, 95)
        print(f"{asked} streams: p95 {lag_ms:.0f} ms, {heard.late / heard.frames:.1%} sent late", flush=True)
        if lag_ms <= options.bound_ms:
            least = asked
        else:
            most = asked
        if most and most - least <= max(least // 10, 1):
            break
    return least


async def load(url: str, say: Path, sessions: int, seconds: float, sample: object = None) -> Heard:
    pcm = speech.pattern(seconds, say)[: round(seconds * BYTES_PER_S)]
    heard = Heard()
    begin = time.perf_counter() + 0.5 + 0.002 * sessions
    tasks = [
        asyncio.create_task(_stream(url, _turned(pcm, n / sessions), begin + FRAME_S * n / sessions, heard))
        for n in range(sessions)
    ]
    while not all(task.done() for task in tasks):
        await asyncio.wait(tasks, timeout=1.0)
        if callable(sample):
            sample()
    for task in tasks:
        task.result()
    return heard


def _turned(pcm: bytes, part: float) -> bytes:
    """The same talk, rotated to another start."""
    at = round(part * len(pcm) / 2) * 2
    return pcm[at:] + pcm[:at]


async def _stream(url: str, pcm: bytes, begin: float, heard: Heard) -> None:
    address = url.replace("http", "ws") + "/ws/transcribe"
    async with websockets.connect(address, max_size=None, compression=None, ping_interval=None) as socket:
        await socket.recv()
        listening = asyncio.create_task(_listen(socket, begin, heard))
        size = round(FRAME_S * BYTES_PER_S)
        for n, start in enumerate(range(0, len(pcm), size)):
            due = begin + (n + 1) * FRAME_S  # a frame can be sent once it has been spoken
            if (wait_s := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            heard.frames += 1
            heard.late += time.perf_counter() - due > LATE_S
            await socket.send(pcm[start : start + size])
        await socket.send('{"action": "close"}')
        await listening


async def _listen(socket: websockets.ClientConnection, begin: float, heard: Heard) -> None:
    shown: dict[int, str] = {}
    async for text in socket:
        now = time.perf_counter()
        message = json.loads(text)
        if "segment_id" not in message or message.get("status"):
            continue
        lag_s = now - begin - message["end_s"]
        if message["is_final"]:
            heard.finals += 1
            heard.final_lags_s.append(lag_s)
            shown.pop(message["segment_id"], None)
        elif message["end_s"] > WARM_UP_S:
            heard.partials += 1
            heard.partial_lags_s.append(lag_s)
            heard.revised += not message["text"].startswith(shown.get(message["segment_id"], ""))
            shown[message["segment_id"]] = message["text"]


def _metric(server: Server, name: str) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def _distribution(values_s: list[float]) -> list[tuple[float, float]]:
    return [(ms(values_s, percent), float(percent)) for percent in range(101)]


def ms(values_s: list[float], percent: float) -> float:
    return 1000 * float(np.percentile(values_s, percent)) if values_s else float("nan")


if __name__ == "__main__":
    main()
