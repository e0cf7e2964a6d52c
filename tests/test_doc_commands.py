"""Every command and program that the documentation shows is run by a test, or says why not.

A comment before a block of code tells which:

    <!-- run -->                        it is run here, in a folder with recordings, against a server
    <!-- run except: --mic, ffmpeg -->  so are its lines but those that contain one of these
    <!-- run by: tests/x.py -->         that test reads it from the page
    <!-- not run: it needs a GPU -->    nothing runs it
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from llm_server import LlmServer, good
from recordings import wav
from running import EMBEDDED, PATIENCE_S, RunningServer
from steno.audio.decode import decode

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^ *(?:<!-- ((?:not )?run\b[^>]*?) -->\n)?\n? *```(bash|sh|console|python)\n(.*?)^ *```", re.M | re.S
)
SERVERS = re.compile(r"http://(?:127\.0\.0\.1|localhost|box|a|b):8000")
LEADING_SETTINGS = re.compile(r"((?:[A-Z_]+=\S+ )*)steno serve\b")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    marker: str
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def lines(self) -> list[str]:
        """The commands to run, continued lines joined."""
        left_out = [part.strip() for part in self.marker.partition("except:")[2].split(",") if part.strip()]
        joined = re.sub(r"\\\n\s*", "", self.code)
        lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")]
        assert all(any(part in line for line in lines) for part in left_out), f"{self}: an exception is not there"
        return [line for line in lines if not any(part in line for part in left_out)]


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in BLOCK.finditer(text):
            yield Block(page, text[: found.start()].count("\n") + 2, found[1] or "", found[2], found[3])


BLOCKS = list(blocks())
RUN_HERE = [block for block in BLOCKS if re.fullmatch(r"run(?: except: .+)?", block.marker)]


def test_every_block_is_found() -> None:
    fences = sum(
        len(re.findall(r"^ *```(?:bash|sh|console|python)$", page.read_text(encoding="utf-8"), re.M)) for page in PAGES
    )
    assert len(BLOCKS) == fences
    assert len(RUN_HERE) > 10


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_is_run_or_says_why_not(block: Block) -> None:
    if block in RUN_HERE:
        return
    kind, _, what = block.marker.partition(": ")
    assert kind in {"run by", "not run"}, f"{block}: {block.marker or 'no marker'}"
    if kind == "run by":
        test = (ROOT / what).read_text(encoding="utf-8")
        assert block.page.name in test, f"{what} does not read {block.page.name}"
    else:
        assert len(what.split()) > 1


@pytest.fixture(scope="module")
def llm() -> Iterator[LlmServer]:
    with LlmServer(good) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, llm: LlmServer) -> Iterator[RunningServer]:
    jobs = str(tmp_path_factory.mktemp("jobs") / "jobs.db")
    with RunningServer(ASR_BACKEND=EMBEDDED, JOBS_DB=jobs, OPENAI_BASE_URL=llm.url, TRANSLATE_MODEL="m") as server:
        yield server


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the reader of the pages is supposed to have."""
    folder = tmp_path_factory.mktemp("reader")
    sample = ROOT / "src" / "steno" / "sample.flac"
    audio = np.concatenate([*decode(sample, max_seconds=None), np.zeros(16_000, "f4")])
    for name in ("talk.wav", "call.wav"):
        (folder / name).write_bytes(wav(audio))
    for name in ("talk.mp4", "vod.mp4", "song.mp3", "call.ts", "talk.mp3"):
        encode(audio, folder / name)
    for name in ("talks/monday.mp4", "talks/tuesday.mp4", "vods/first.mp4"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "talk.mp4", folder / name)
    (folder / "lyrics.txt").write_text("The weather will be cold and clear\nin the morning\n", encoding="utf-8")
    comments = [{"content_offset_seconds": 2, "created_at": "2026-05-01T07:00:12Z", "commenter": {"name": "kim"},
                 "message": {"body": "cold and clear"}}]  # fmt: skip
    (folder / "vod.chat.json").write_text(json.dumps({"comments": comments, "streamer": {}}), encoding="utf-8")
    for name in ("src", "deploy", "docker", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def encode(audio: np.ndarray, path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mp3" if path.suffix == ".mp3" else "aac", rate=16_000)
        stream.layout = "mono"  # type: ignore[attr-defined]
        frame = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        resampled = av.AudioResampler(format=stream.format, layout="mono", rate=16_000)  # type: ignore[attr-defined]
        for part in [*resampled.resample(frame), *resampled.resample(None)]:
            container.mux(stream.encode(part))  # type: ignore[attr-defined]
        container.mux(stream.encode(None))  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("block", RUN_HERE, ids=str)
def test_what_is_shown_runs(block: Block, server: RunningServer, llm: LlmServer, reader: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(reader, tmp_path / "reader", symlinks=True)
    binaries = tmp_path / "bin"
    binaries.mkdir()
    python = shlex.quote(sys.executable)
    curl = f"{shutil.which('curl')} --fail-with-body"  # else it succeeds whatever the server answers
    for name, real in (("steno", f"{python} -m steno"), ("python", python), ("curl", curl)):
        program = binaries / name
        program.write_text(f'#!/bin/sh\nexec {real} "$@"\n', encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    environment = {
        **os.environ, "PATH": f"{binaries}:{os.environ['PATH']}", "ASR_BACKEND": EMBEDDED,
        "OPENAI_BASE_URL": llm.url, "TRANSLATE_MODEL": "m", "PYTHONPATH": str(ROOT), "NO_PROXY": "*",
    }  # fmt: skip
    if block.language == "python":
        run([sys.executable, "-c", SERVERS.sub(server.url, block.code)], folder, environment)
        return
    commands: list[str] = []
    for line in block.lines:
        serve = LEADING_SETTINGS.match(line)
        if serve is None:
            commands.append(SERVERS.sub(server.url, line).replace("steno jobs", f"STENO_URL={server.url} steno jobs"))
            continue
        settings = dict(setting.split("=", 1) for setting in serve[1].split())
        settings.pop("PORT", None)
        with RunningServer(ASR_BACKEND=EMBEDDED, **settings) as started:
            assert started.health()["status"] == "ok"
    if commands:
        run(["bash", "-euo", "pipefail", "-c", "\n".join(commands)], folder, environment)


def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
