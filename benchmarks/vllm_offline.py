"""The same uploads through steno on vLLM, vLLM's own server, and steno's own engine: the second half of `vllm`."""

from __future__ import annotations

import io
import itertools
import os
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np

from benchmarks import harness
from benchmarks.server import Server
from steno.audio.decode import decode
from steno.backends.vllm.engine_args import ENVIRONMENT
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

CLIPS = Path(__file__).parent.parent / "tests" / "tiny" / "clips"
LONGEST = "long-talk"
"""Longer than vLLM's server takes in one piece."""
AT_ONCE = 8
ROUNDS, QUICK_ROUNDS = 5, 2
START_S, REQUEST_S = 180.0, 120.0
ROUTE = "/v1/audio/transcriptions"


def measure_offline(model: Path, report: harness.Report, *, quick: bool) -> None:
    files = [clip for clip in sorted(CLIPS.glob("*.flac")) if clip.stem != LONGEST]
    clips = [np.concatenate(list(decode(file, max_seconds=None))) for file in files] * (1 if quick else 3)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    settings = {"MODEL_ID": str(model), "ALIGNER": "none", "MAX_SLOTS": str(AT_ONCE * 2), "MAX_QUEUE": "64"}
    seconds: dict[str, list[float]] = {}
    texts: dict[str, list[str]] = {}
    with vllm_server(model) as url:
        seconds["vllm"], texts["vllm"] = timed(url, str(model), clips, rounds)
    with Server(**settings, USE_VLLM="true") as server:
        seconds["steno"], texts["steno"] = timed(server.url, "", clips, rounds)
    with Server(**settings, ASR_BACKEND="qwen", DEVICE="cpu") as server:
        seconds["own"], texts["own"] = timed(server.url, "", clips, rounds)
    for name, each in seconds.items():
        report.add(f"offline_{name}_s", *each)
    summary = report.summary()
    report.add("server_overhead", summary["offline_steno_s"] / summary["offline_vllm_s"])
    report.add("own_over_vllm_offline", summary["offline_own_s"] / summary["offline_steno_s"])
    same = [one == other for one, other in zip(texts["steno"], texts["vllm"], strict=True)]
    report.add("same_text_as_vllm", sum(same) / len(same))


def timed(url: str, model: str, clips: Sequence[Audio], rounds: int) -> tuple[list[float], list[str]]:
    """Seconds for all clips, `AT_ONCE` at a time, for each round after one that warms up; and all texts.

    Each upload has a loudness of its own: a recording that was heard before would come from vLLM's caches.
    """
    loudness = itertools.count()
    with httpx.Client(base_url=url, timeout=REQUEST_S) as client, ThreadPoolExecutor(AT_ONCE) as pool:

        def transcribe(recording: bytes) -> str:
            data = {"response_format": "json", "language": "en"} | ({"model": model} if model else {})
            files = {"file": ("clip.wav", recording)}
            answer = client.post(ROUTE, files=files, data=data).raise_for_status()
            return str(answer.json()["text"]).strip()

        seconds: list[float] = []
        texts: list[str] = []
        for _ in range(rounds + 1):
            recordings = [wav_of(clip, 1 - next(loudness) / 1000) for clip in clips]
            began = time.perf_counter()
            texts += pool.map(transcribe, recordings)
            seconds.append(time.perf_counter() - began)
    assert all(texts), "a clip without text"
    return seconds[1:], texts


def wav_of(audio: Audio, gain: float) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((gain * 32767 * audio).astype("<i2").tobytes())
    return buffer.getvalue()


@contextmanager
def vllm_server(model: Path) -> Iterator[str]:
    """vLLM's own server, with the engine arguments that the backend gives it on a CPU."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port),
        "--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--block-size", "32", "--max-model-len", "2048",
        "--max-num-seqs", str(AT_ONCE * 2), "--disable-log-stats",
    ]  # fmt: skip
    environment = {**ENVIRONMENT, **os.environ}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError("vLLM's server did not start")
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise RuntimeError("vLLM's server did not start in time")
