"""The snippets of `docs/live.md` work when they are pasted."""

from __future__ import annotations

import re
import subprocess
import sys
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

DOCS = (Path(__file__).parents[3] / "docs" / "live.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", DOCS, re.S)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND=EMBEDDED) as server:
        yield server


@pytest.mark.parametrize("code", SNIPPETS, ids=["native", "openai", "deepgram", "recording", "flux"])
def test_a_snippet_prints_what_was_said(server: RunningServer, code: str, fixtures: Path, tmp_path: Path) -> None:
    audio = np.concatenate([*decode(fixtures / "weather.flac", max_seconds=None), np.zeros(16_000, np.float32)])
    rate = 24_000 if "realtime" in code else 16_000
    pcm = pcm_of(soxr.resample(audio, 16_000, rate).astype(np.float32))
    (tmp_path / "talk.pcm").write_bytes(pcm)
    with wave.open(str(tmp_path / "talk.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    host = server.url.removeprefix("http://")
    code = code.replace("127.0.0.1:8000", host).replace("asyncio.sleep(0.1)", "asyncio.sleep(0.03)")
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=90)
    assert ended.returncode == 0, ended.stderr
    assert word_error_rate("weather.flac", ended.stdout) <= 0.6
