"""What the README shows works when it is pasted."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soxr

from recordings import wav
from running import EMBEDDED, RunningServer
from steno.audio.decode import decode
from steno.audio.pcm import to_s16le

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN_URL = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND=EMBEDDED) as server:
        yield server


def blocks(language: str) -> list[str]:
    return [re.sub(r"^ +", "", b, flags=re.M) if language == "bash" else b
            for b in re.findall(rf"^ *```{language}\n(.*?)^ *```", README, re.M | re.S)]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's `src`, and the recording that the reader is supposed to have."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "src").symlink_to(ROOT / "src")
    audio = np.concatenate([*decode(ROOT / "src" / "steno" / "sample.flac", max_seconds=None), np.zeros(16_000, "f4")])
    (folder / "talk.wav").write_bytes(wav(audio))
    (folder / "talk.pcm").write_bytes(to_s16le(soxr.resample(audio, 16_000, 24_000).astype("f4")))
    return folder


@pytest.mark.parametrize("code", blocks("python"))
def test_python_snippets_run(server: RunningServer, code: str, folder: Path) -> None:
    code = code.replace(SHOWN_URL.removeprefix("http://"), server.url.removeprefix("http://"))
    ended = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=90)
    assert ended.returncode == 0, ended.stderr
    assert "the weather will be" in ended.stdout.lower()


def test_the_curl_command_runs(server: RunningServer) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    lines = [line.removeprefix("$ ") for kind in ("bash", "console") for b in blocks(kind) for line in b.splitlines()]
    commands = [line for line in lines if line.startswith("curl ")]
    assert commands
    for command in commands:
        words = shlex.split(command.replace(SHOWN_URL, server.url), comments=True)
        ended = subprocess.run([*words, "-s"], cwd=ROOT, capture_output=True, text=True, timeout=90)
        assert "the weather will be" in ended.stdout.lower(), ended.stderr


def test_no_number_is_left_to_be_filled_in() -> None:
    for name in ("README.md", "improvements.md", "docs/live.md", "docs/architecture.md"):
        assert not re.search(r"@[A-Z_]+@|TODO|XXX", (ROOT / name).read_text(encoding="utf-8")), name


def test_every_target_and_file_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z]+)`", README):
        assert f"\n{target}:" in makefile, target
    for path in re.findall(r"\]\(([^)#]+)\)", README):
        assert path.startswith("http") or (ROOT / path).exists(), path
