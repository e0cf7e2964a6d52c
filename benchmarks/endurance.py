"""One live stream for hours: growth of memory and of cost per second of audio.

    python -m benchmarks.endurance [--quick] [--json out/endurance.json]

Two hours of speech and pauses go through `/ws/transcribe` as fast as the server takes them, on the scripted backend, so
that only the server's own work is measured: decoding frames, VAD, segments, partials, finals, captions.

- rss_growth_mb: memory of the server process at the end, less that after the first tenth. Target: 5.
- last_over_first_tenth: time for the last tenth of the audio, divided by that for the first. Target: 1.1.
- times_real_time: seconds of audio per second.
- finals_lost: segment ids without a final. Target: 0.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import dataclass, field
from itertools import pairwise

import websockets

from benchmarks import harness, speech
from benchmarks.server import Server
from benchmarks.speech import BYTES_PER_S

TARGETS = {"rss_growth_mb": 5.0, "last_over_first_tenth": 1.1, "finals_lost": 0.0}
FRAME_S = 0.1


@dataclass
class Run:
    """Measurements. `marks`: when each tenth of the audio was recognised, and the server's memory."""

    marks: list[tuple[float, float]] = field(default_factory=list)
    finals: int = 0
    last_id: int = -1
    heard_s: float = 0.0


def main() -> None:
    options = harness.parser(__doc__).parse_args()
    report = harness.Report("endurance", options)
    seconds = 600.0 if options.quick else 7200.0
    with Server(ASR_BACKEND="scripted", MODEL_ID="scripted@1ms") as server:
        run = asyncio.run(_talk(server, seconds))
    times = [at for at, _ in run.marks]
    tenths = [after - before for before, after in pairwise(times)]
    report.add("rss_growth_mb", run.marks[-1][1] - run.marks[1][1])
    report.add("last_over_first_tenth", tenths[-1] / tenths[0])
    report.add("times_real_time", run.heard_s / (times[-1] - times[0]))
    report.add("finals", run.finals)
    report.add("finals_lost", run.last_id + 1 - run.finals)
    rss_mb = [(at - times[0], mb) for at, mb in run.marks]
    report.add_series("rss_mb", rss_mb)
    report.finish(TARGETS)
    if options.json:
        lines = {"RSS, MB": rss_mb}
        title = "Memory of the server process during one long stream"
        harness.plot_lines(options.json.with_suffix(".png"), title, "seconds", "RSS, MB", lines)


async def _talk(server: Server, seconds: float) -> Run:
    """Each tenth is said, then flushed; the answer to that is the mark."""
    once = speech.pattern(60)
    tenth = once * math.ceil(seconds / 10 * BYTES_PER_S / len(once))
    run = Run()
    url = server.url.replace("http", "ws") + "/ws/transcribe?captions=srt"
    async with websockets.connect(url, max_size=None) as socket:
        await socket.recv()
        await _say(socket, run, once)
        for n in range(11):
            run.marks.append((time.perf_counter(), server.rss_mb()))
            if n < 10:
                await _say(socket, run, tenth)
                print(f"{run.heard_s / 60:.0f} minutes heard, {server.rss_mb():.1f} MB", flush=True)
    return run


async def _say(socket: websockets.ClientConnection, run: Run, pcm: bytes) -> None:
    size = round(FRAME_S * BYTES_PER_S)

    async def speak() -> None:
        for start in range(0, len(pcm), size):
            await socket.send(pcm[start : start + size])
        await socket.send('{"action": "flush"}')

    speaking = asyncio.create_task(speak())
    end_s = run.heard_s + len(pcm) / BYTES_PER_S
    while run.heard_s < end_s - 0.01:
        message = json.loads(await socket.recv())
        if message.get("is_final"):
            run.finals += 1
            run.last_id = message["segment_id"]
            run.heard_s = message["end_s"]
    await speaking


if __name__ == "__main__":
    main()
