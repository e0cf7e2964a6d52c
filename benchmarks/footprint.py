"""Memory and start time of an idle server, and peak memory for ten minutes and one hour of audio.

    python -m benchmarks.footprint [--quick] [--json out/footprint.json]

- idle_rss_mb: the server process after a request of /health, without a model. Target: 85.
- start_s: from spawning the process to the first response of /health. Target: 1.5.
- first_request_s: 5 s of speech to a server without a loaded model, including the embedded recogniser's start.
- warm_request_s: the same request again.
- ten_minutes_peak_mb, one_hour_peak_mb: peak memory of the server process while it transcribes a FLAC of that length,
  with the scripted backend, so that only the server's own memory counts.
- hour_over_ten_minutes: ratio of the two; near 1 = bounded.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import av
import httpx
import numpy as np

from benchmarks import harness
from benchmarks.server import Server

TARGETS = {"idle_rss_mb": 85.0, "start_s": 1.5, "hour_over_ten_minutes": 1.1}
SAMPLE = Path(__file__).parent.parent / "src" / "steno" / "sample.flac"
Points = list[tuple[float, float]]


def main() -> None:
    options = harness.parser(__doc__).parse_args()
    report = harness.Report("footprint", options)
    starts, requests = (2, 1) if options.quick else (7, 3)
    for _ in range(starts):
        with Server() as server:
            report.add("start_s", server.start_s)
            time.sleep(1)
            report.add("idle_rss_mb", server.rss_mb())
    for _ in range(requests):
        with Server() as server:
            report.add("first_request_s", _request(server, SAMPLE))
            report.add("warm_request_s", _request(server, SAMPLE))
    lines: dict[str, Points] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, minutes in (("ten_minutes", 10), ("one_hour", 60)):
            print(f"{name}: making the audio …", flush=True)
            audio = _long_flac(Path(folder) / f"{name}.flac", minutes)
            with Server(ASR_BACKEND="scripted") as server:
                lines[name] = _watch_memory(server, audio)
            report.add(f"{name}_peak_mb", max(mb for _, mb in lines[name]))
    summary = report.summary()
    report.add("hour_over_ten_minutes", summary["one_hour_peak_mb"] / summary["ten_minutes_peak_mb"])
    report.finish(TARGETS)
    if options.json:
        title = "Memory of the server process while it transcribes one file"
        harness.plot_lines(options.json.with_suffix(".png"), title, "seconds", "RSS, MB", lines)


def _request(server: Server, audio: Path) -> float:
    began = time.perf_counter()
    with audio.open("rb") as file:
        answer = httpx.post(f"{server.url}/v1/audio/transcriptions", files={"file": file}, timeout=3600)
    answer.raise_for_status()
    return time.perf_counter() - began


def _watch_memory(server: Server, audio: Path) -> Points:
    points: Points = []
    done = threading.Event()

    def watch() -> None:
        began = time.perf_counter()
        while not done.wait(0.05):
            points.append((time.perf_counter() - began, server.rss_mb()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        took = _request(server, audio)
    finally:
        done.set()
        watcher.join()
    print(f"{audio.stem}: done in {took:.1f} s", flush=True)
    return points


def _long_flac(path: Path, minutes: int) -> Path:
    """Speech over and over, written piece by piece."""
    with av.open(str(SAMPLE)) as sample:
        frames = [frame.to_ndarray().reshape(-1) for frame in sample.decode(audio=0)]
    speech = np.concatenate(frames)
    rate = 16_000
    with av.open(str(path), "w") as out:
        stream = out.add_stream("flac", rate=rate, layout="mono")
        for _ in range(round(minutes * 60 * rate / len(speech))):
            frame = av.AudioFrame.from_ndarray(speech.reshape(1, -1).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate = rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    main()
