"""Turn ends: how soon after the end of speech its final comes, and how often a pause within a sentence cuts it off.

    python -m benchmarks.turns [--threshold 0.6] [--recordings FOLDER] [--pauses 2] [--quick] [--json out/turns.json]

A real server with the embedded recogniser; sentences of real recordings, sent in real time in frames of 20 ms, once
with `turn_detection=smart` and once with `silence` of 500 ms, one after the other. Their words and sentence ends are
those of the server's own transcript, with the aligner's times. The recordings are three in Moonshine's wheel; in
`--recordings`, those that thresholds and checks were chosen on (`TUNED_ON`) are left out.

For each of the two, `smart_` and `silence_`:

- median_ms, p95_ms: from the end of speech (the last 10 ms within 30 dB of the loudest) to the final that contains it,
  as the client sees it: what pipecat's STT benchmark calls time to final segment. Target for smart: 250 and 400.
- cut_off_rate: share of pauses of 0.3 to 0.8 s, put between two words of a clause in the noise of the room, in which a
  segment ended. Target for smart: 0.03.
- cut_sentences: share of the sentences without an inserted pause that came in more than one final (readers pause too).
- sentences, pauses: how many there were.
- judgement_ms: mean time of a judgement in the server; late: share of judgements that were too late.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import websockets

from benchmarks import harness
from benchmarks.server import Server
from benchmarks.turn_speech import Speech, SpokenWord, TurnRecording
from steno.audio.pcm import to_s16le
from steno.backends.moonshine import installed
from steno.types import SAMPLE_RATE

TARGETS = {"smart_median_ms": 250.0, "smart_p95_ms": 400.0, "smart_cut_off_rate": 0.03}
SHIPPED = ("two_cities.wav", "beckett.wav", "clone-test.wav")
TUNED_ON = ("endgame_nagg_nell.wav", "address.opus")
AUDIO = (".wav", ".flac", ".mp3", ".opus", ".ogg", ".m4a")
MODES = ("smart", "silence")
FRAME_S = 0.02


@dataclass
class Heard:
    """What came of all sentences in one mode."""

    lags_s: list[float] = field(default_factory=list)
    cut_sentences: list[bool] = field(default_factory=list)
    cut_off: list[bool] = field(default_factory=list)


def main() -> None:
    options = _options()
    report = harness.Report("turns", options)
    chance = random.Random(22)
    with Server(ASR_BACKEND="moonshine", PRELOAD="true", IDLE_TIMEOUT="0") as server:
        recordings = [TurnRecording(path, words_of(server, path)) for path in paths_of(options.recordings)]
        sentences = [speech for recording in recordings for speech in recording.sentences()]
        paused = [speech for recording in recordings for speech in recording.paused(options.pauses, chance)]
        if options.quick:
            sentences, paused = sentences[:1], paused[:1]
        heard = {mode: Heard() for mode in MODES}
        queries = {"smart": f"turn_detection=smart&turn_threshold={options.threshold}", "silence": "silence_ms=500"}
        asyncio.run(_say(server.url, sentences[0], queries["smart"]))  # loads the detector
        for speech in [*sentences, *paused]:
            for mode in MODES:
                _take(heard[mode], speech, asyncio.run(_say(server.url, speech, queries[mode])))
        _report_judgements(report, httpx.get(f"{server.url}/metrics").text)
    for mode, found in heard.items():
        lags_ms = [1000 * lag_s for lag_s in found.lags_s]
        report.add(f"{mode}_median_ms", statistics.median(lags_ms))
        report.add(f"{mode}_p95_ms", float(np.percentile(lags_ms, 95)))
        report.add(f"{mode}_cut_off_rate", statistics.mean(found.cut_off))
        report.add(f"{mode}_cut_sentences", statistics.mean(found.cut_sentences))
        report.add_series(f"{mode}_lags_ms", [*enumerate(lags_ms)])
    report.add("sentences", len(sentences))
    report.add("pauses", len(paused))
    report.finish(TARGETS)


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--threshold", type=float, default=0.6, help="TURN_THRESHOLD")
    parser.add_argument("--recordings", type=Path, metavar="FOLDER", help="further recordings of English speech")
    parser.add_argument("--pauses", type=int, default=2, help="pauses for each sentence, one at a time")
    return parser.parse_args()


def paths_of(folder: Path | None) -> list[Path]:
    """The recordings in Moonshine's wheel, and those in `folder`, without any that was tuned on."""
    wheel = installed.wheel_folder()
    if wheel is None:
        raise SystemExit(f"moonshine {installed.missing()}")
    own = sorted(path for path in folder.iterdir() if path.suffix in AUDIO) if folder else []
    return [*(wheel.parent / name for name in SHIPPED), *(path for path in own if path.name not in TUNED_ON)]


def words_of(server: Server, path: Path) -> list[SpokenWord]:
    """The server's transcript of a recording."""
    form = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    with path.open("rb") as file:
        answer = httpx.post(f"{server.url}/v1/audio/transcriptions", files={"file": file}, data=form, timeout=600)
    return [SpokenWord(word["word"], word["start"], word["end"]) for word in answer.raise_for_status().json()["words"]]


async def _say(url: str, speech: Speech, query: str) -> list[tuple[float, float, float]]:
    """Send `speech` in real time, until its last final has come. Returns the finals: when each came, its start and end,
    all in seconds of the audio."""
    pcm = to_s16le(speech.audio)
    size = 2 * round(FRAME_S * SAMPLE_RATE)
    address = f"{url.replace('http', 'ws')}/ws/transcribe?{query}"
    finals: list[tuple[float, float, float]] = []
    async with websockets.connect(address, compression=None, ping_interval=None) as socket:
        began = time.perf_counter()

        async def send() -> None:
            for n, start in enumerate(range(0, len(pcm), size), 1):
                await asyncio.sleep(max(began + n * FRAME_S - time.perf_counter(), 0))
                await socket.send(pcm[start : start + size])
            await socket.send('{"action": "close"}')

        sending = asyncio.create_task(send())
        async for text in socket:
            message = json.loads(text)
            if message.get("is_final") and message["text"]:
                finals.append((time.perf_counter() - began, message["start_s"], message["end_s"]))
                if message["end_s"] >= speech.end_s:
                    break
        sending.cancel()
        await asyncio.wait([sending])
    return finals


def _take(heard: Heard, speech: Speech, finals: list[tuple[float, float, float]]) -> None:
    if speech.pause_s is not None:
        start_s, stop_s = speech.pause_s
        heard.cut_off.append(any(start_s <= end_s <= stop_s for _, _, end_s in finals))
        return
    heard.cut_sentences.append(len(finals) > 1)
    heard.lags_s += [came_s - speech.end_s for came_s, _, end_s in finals if end_s >= speech.end_s]


def _report_judgements(report: harness.Report, metrics: str) -> None:
    counts = {
        (what, judgement): float(value)
        for what, judgement, value in re.findall(
            r'steno_turn_judgement_seconds_(count|sum)\{judgement="(\w+)"\} (\S+)', metrics
        )
    }
    total = sum(value for (what, _), value in counts.items() if what == "count")
    report.add("judgement_ms", 1000 * sum(value for (what, _), value in counts.items() if what == "sum") / total)
    report.add("late", counts.get(("count", "late"), 0.0) / total)


if __name__ == "__main__":
    main()
