"""Clients that others have made, each with its snippet of `docs/clients.md`: `make test-clients`."""

from __future__ import annotations

import os
import re
import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soxr

from running import EMBEDDED, RunningServer
from speech import word_error_rate
from steno.audio.decode import decode
from talking import pcm_of

CLIENTS = Path(os.environ.get("STENO_CLIENTS", ".venv-clients"))
PYTHON, NODE = CLIENTS / "bin" / "python", CLIENTS / "bin" / "node"
DRIVER = Path(__file__).with_name("drive.py")
DOCS = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
WORST = 0.4
"""Word error rate: these tests are about the clients."""


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND=EMBEDDED, API_KEYS="KEY", PRELOAD="true") as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, fixtures: Path) -> Path:
    """With `talk.wav`, 24 kHz."""
    audio = np.concatenate(list(decode(fixtures / "weather.flac", max_seconds=None)))
    with wave.open(str(tmp_path / "talk.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(pcm_of(soxr.resample(audio, 16_000, 24_000).astype(np.float32)))
    return tmp_path


def snippet(heading: str, n: int, server: RunningServer) -> str:
    """The n-th code block below a heading."""
    section = next(part for part in DOCS.split("\n## ") if part.startswith(heading))
    code = re.findall(r"```\w+\n(.*?)```", section, re.S)[n]
    return str(code).replace("127.0.0.1:8000", server.url.removeprefix("http://"))


def run(folder: Path, *command: str | Path) -> str:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize(
    ("kind", "heading", "n"),
    [
        ("livekit", "LiveKit agents (Python)", 0),
        ("livekit-recording", "LiveKit agents (Python)", 0),
        ("livekit", "LiveKit agents (Python)", 1),
        ("livekit-recording", "LiveKit agents (Python)", 1),
        ("livekit", "LiveKit agents (Python)", 2),
        ("pipecat", "pipecat", 0),
        ("pipecat", "pipecat", 1),
        ("pipecat", "pipecat", 2),
        ("agents", "openai-agents", 0),
    ],
)
def test_a_recogniser_made_as_the_docs_say_hears_what_was_said(
    server: RunningServer, folder: Path, kind: str, heading: str, n: int
) -> None:
    (folder / "snippet.py").write_text(snippet(heading, n, server))
    told = run(folder, PYTHON, DRIVER, kind, "snippet.py", "talk.wav").splitlines()
    if kind in ("livekit", "pipecat"):
        assert int(told.pop().removeprefix("interims: ")) > 0
    assert word_error_rate("weather.flac", " ".join(told)) <= WORST


def test_pipecat_gets_interim_text_of_a_turn_that_it_ends_itself(server: RunningServer, folder: Path) -> None:
    code = snippet("pipecat", 0, server).replace(", turn_detection=None", "")
    (folder / "snippet.py").write_text(code)
    told = run(folder, PYTHON, DRIVER, "pipecat-commit", "snippet.py", "talk.wav").splitlines()
    assert int(told.pop().removeprefix("interims: ")) > 0
    assert word_error_rate("weather.flac", " ".join(told)) <= WORST


@pytest.mark.parametrize("n", [0, 1], ids=["openai", "deepgram"])
def test_litellm_transcribes(server: RunningServer, folder: Path, n: int) -> None:
    told = run(folder, PYTHON, "-c", snippet("litellm", n, server))
    assert word_error_rate("weather.flac", told) <= WORST


@pytest.mark.parametrize("n", [0, 1], ids=["openai", "deepgram"])
def test_the_vercel_ai_sdk_transcribes(server: RunningServer, folder: Path, n: int) -> None:
    (folder / "node_modules").symlink_to(CLIENTS.absolute() / "node_modules")
    (folder / "snippet.mjs").write_text(snippet("Vercel AI SDK", n, server))
    assert word_error_rate("weather.flac", run(folder, NODE, "snippet.mjs")) <= WORST
