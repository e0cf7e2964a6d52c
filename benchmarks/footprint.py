"""Memory and start time of an idle server, and peak memory for ten minutes and one hour of audio.

    python -m benchmarks.footprint [--quick] [--json out/footprint.json] [--parts server gateway qwen files]

- idle_rss_mb: the server process after a request of /health, without a model. Target: 85.
- start_s: from spawning the process to the first response of /health. Target: 1.5.
- first_request_s: 5 s of speech to a server without a loaded model, including the embedded recogniser's start.
- warm_request_s: the same request again.
- front_idle_rss_mb, front_start_s: the same with `GATEWAY_MODE`, where the models are in a worker process. Targets: 80
  and 1.5.
- worker_rss_mb, worker_rss_after_idle_mb: memory of all worker processes after a request, and after `IDLE_TIMEOUT`.
  Target of the second: 0. first_request_after_idle_s: a request after that. `qwen_…`: the same with Qwen3-ASR-0.6B of
  random weights (int8), which this machine makes.
- ten_minutes_peak_mb, one_hour_peak_mb: peak memory of the server process while it transcribes a FLAC of that length,
  with the scripted backend, so that only the server's own memory counts.
- hour_over_ten_minutes: ratio of the two; near 1 = bounded.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from pathlib import Path

import av
import httpx
import numpy as np
import psutil

from benchmarks import harness
from benchmarks.offline import true_size
from benchmarks.server import Server

TARGETS = {
    "idle_rss_mb": 85.0,
    "start_s": 1.5,
    "front_idle_rss_mb": 80.0,
    "front_start_s": 1.5,
    "worker_rss_after_idle_mb": 0.0,
    "qwen_worker_rss_after_idle_mb": 0.0,
    "hour_over_ten_minutes": 1.1,
}
PARTS = ("server", "gateway", "qwen", "files")
GATEWAY = {"GATEWAY_MODE": "true", "IDLE_TIMEOUT": "2"}
SAMPLE = Path(__file__).parent.parent / "src" / "steno" / "sample.flac"
Points = list[tuple[float, float]]


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (all)")
    options = parser.parse_args()
    report = harness.Report("footprint", options)
    starts, requests = (2, 1) if options.quick else (7, 3)
    if "server" in options.parts:
        _measure_starts(report, starts, "", {})
        for _ in range(requests):
            with Server() as server:
                report.add("first_request_s", _request(server, SAMPLE))
                report.add("warm_request_s", _request(server, SAMPLE))
    if "gateway" in options.parts:
        _measure_starts(report, starts, "front_", GATEWAY)
        _measure_worker(report, "", GATEWAY)
    if "qwen" in options.parts:
        with tempfile.TemporaryDirectory() as folder:
            model = true_size(Path(folder))
            _measure_worker(report, "qwen_", {**GATEWAY, "ASR_BACKEND": "qwen", "MODEL_ID": model, "QUANTIZE": "int8"})
    lines = _measure_files(report) if "files" in options.parts else {}
    for name, points in lines.items():
        report.add_series(f"{name}_rss_mb", points)
    report.finish(TARGETS)
    if options.json and lines:
        title = "Memory of the server process while it transcribes one file"
        harness.plot_lines(options.json.with_suffix(".png"), title, "seconds", "RSS, MB", lines)


def _measure_starts(report: harness.Report, starts: int, prefix: str, settings: dict[str, str]) -> None:
    for _ in range(starts):
        with Server(**settings) as server:
            report.add(f"{prefix}start_s", server.start_s)
            time.sleep(1)
            report.add(f"{prefix}idle_rss_mb", server.rss_mb())


def _measure_worker(report: harness.Report, prefix: str, settings: dict[str, str]) -> None:
    with Server(**settings) as server:
        first = _request(server, SAMPLE)
        report.add(f"{prefix}worker_rss_mb", _worker_rss_mb(server))
        report.add(f"{prefix}cold_request_s", first)
        time.sleep(float(settings["IDLE_TIMEOUT"]) + 6)
        report.add(f"{prefix}worker_rss_after_idle_mb", _worker_rss_mb(server))
        report.add(f"{prefix}front_rss_after_idle_mb", server.rss_mb())
        report.add(f"{prefix}first_request_after_idle_s", _request(server, SAMPLE))


def _worker_rss_mb(server: Server) -> float:
    """Resident memory of the worker and its children."""
    total = 0
    for child in server.process.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "worker" in child.cmdline():
                total += sum(each.memory_info().rss for each in (child, *child.children(recursive=True)))
    return total / 1e6


def _measure_files(report: harness.Report) -> dict[str, Points]:
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
    return lines


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
