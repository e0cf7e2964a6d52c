"""What is no speech gives no text: over HTTP, as events, live and on the command line, whichever recogniser runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from recordings import wav
from running import RunningServer, post
from steno.backends import registry
from steno.types import SAMPLE_RATE
from talking import pcm_of, said
from tiny.clips import ASR

SECONDS = 6
BACKENDS = {
    "moonshine": {},
    "sphinx": {},
    "qwen": {"MODEL_ID": str(ASR), "DEVICE": "cpu"},
}


def sounds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    t = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    white = rng.normal(0, 1, len(t))
    spectrum = np.fft.rfft(white)
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.fft.rfftfreq(len(t), 1 / SAMPLE_RATE), 20)), len(t))
    chords = [(262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294)]
    bar = len(t) // 12
    music = np.zeros(len(t))
    for n in range(12):
        at = np.arange(bar) / SAMPLE_RATE
        notes = sum(np.sin(2 * np.pi * hz * k * at) / k for hz in chords[n % 4] for k in (1, 2, 3))
        music[n * bar : (n + 1) * bar] = notes * np.exp(-3 * at)
    clicks = np.zeros(len(t))
    clicks[:: SAMPLE_RATE // 3] = 1
    made = {
        "silence": np.zeros(len(t)),
        "hum": sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3, 5)),
        "tone": np.sin(2 * np.pi * 440 * t),
        "white": white,
        "pink": pink,
        "music": music,
        "clicks": clicks,
    }
    return {name: (0.3 * sound / max(np.abs(sound).max(), 1e-9)).astype(np.float32) for name, sound in made.items()}


@pytest.fixture(scope="module", params=sorted(BACKENDS))
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    available = registry.availability(request.param)
    if not available.ok:
        pytest.skip(f"backend {request.param} {available.reason}")
    with RunningServer(ASR_BACKEND=request.param, **BACKENDS[request.param]) as server:
        yield server


@pytest.mark.parametrize("name", sorted(sounds()))
async def test_it_gives_no_text(server: RunningServer, name: str, tmp_path: Path) -> None:
    sound = sounds()[name]
    file = tmp_path / f"{name}.wav"
    file.write_bytes(wav(sound))
    assert post(server, file).json()["text"] == ""
    events = post(server, file, stream="true").text
    assert [json.loads(line[6:])["type"] for line in events.splitlines() if line.startswith("data: {")] == [
        "transcript.text.done"
    ]
    conversation = await said(server, pcm_of(sound))
    assert [message["text"] for message in conversation.finals if message["text"]] == []
    assert [message["text"] for message in conversation.partials if message["text"]] == []


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_the_command_line_writes_no_text(backend: str, tmp_path: Path) -> None:
    available = registry.availability(backend)
    if not available.ok:
        pytest.skip(f"backend {backend} {available.reason}")
    files = []
    for name in ("tone", "music", "white"):
        files.append(tmp_path / f"{name}.wav")
        files[-1].write_bytes(wav(sounds()[name]))
    environment = {**os.environ, "ASR_BACKEND": backend, **BACKENDS[backend]}
    ended = subprocess.run(
        [sys.executable, "-m", "steno", "transcribe", "-d", str(tmp_path / "out"), *map(str, files)],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert [file.read_text().strip() for file in sorted((tmp_path / "out").glob("*.txt"))] == ["", "", ""]
