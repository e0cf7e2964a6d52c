"""What `docs/jobs.md` shows works when it is pasted."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import srt

from running import EMBEDDED, PATIENCE_S, TLS, RunningServer, until
from steno.client import Client

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
SHOWN_URL = "http://127.0.0.1:8000"
FREE_PORT = """
server = HTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    shown = "CALLBACK_SECRET=whsec_c3Rlbm8gZXhhbXBsZSBzZWNyZXQgMDE= URL_SCHEMES=https,http URL_ALLOWLIST=127.0.0.1"
    assert shown in PAGE
    environment = dict(part.split("=", 1) for part in shown.split(" "))
    with RunningServer(
        ASR_BACKEND=EMBEDDED, JOBS_DB=str(tmp_path_factory.mktemp("jobs") / "jobs.db"), **environment
    ) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "src" / "steno" / "sample.flac", tmp_path / "talk.wav")
    return tmp_path


def test_the_commands_run(server: RunningServer, folder: Path) -> None:
    command_line, curl = blocks("bash")
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "STENO_URL": server.url}
    ended = bash(command_line, folder, environment)
    assert ended.returncode == 0, ended.stderr
    assert "weather" in " ".join(cue.content for cue in srt.parse((folder / "talk.srt").read_text())).lower()
    assert "succeeded  subtitles  talk.wav" in ended.stdout
    ended = bash(curl.replace(SHOWN_URL, server.url), folder, environment)
    assert ended.returncode == 0, ended.stderr
    assert '"state":"succeeded"' in ended.stdout
    assert "\nWEBVTT\n" in ended.stdout


def bash(commands: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    if not all(map(shutil.which, ("bash", "curl", "jq"))):
        pytest.skip("bash, curl or jq is not installed")
    words = ["bash", "-eo", "pipefail", "-c", commands]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)


def test_the_python_snippet_runs(server: RunningServer, folder: Path) -> None:
    code = blocks("python")[0].replace(SHOWN_URL, server.url)
    ended = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 0, ended.stderr
    assert "the weather will be" in ended.stdout.lower()


def test_the_receiver_accepts_the_server_s_callbacks_and_nobody_else_s(server: RunningServer, folder: Path) -> None:
    code = blocks("python")[1]
    last = 'HTTPServer(("127.0.0.1", 9000), Receiver).serve_forever()\n'
    assert code.endswith(last)
    code = code.removesuffix(last) + FREE_PORT
    receiver = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert receiver.stdout is not None
        url = f"http://127.0.0.1:{int(receiver.stdout.readline())}/"
        received: list[str] = []
        reader = threading.Thread(target=lambda: received.extend(iter(receiver.stdout.readline, "")), daemon=True)
        reader.start()
        with Client(server.url) as client:
            job = client.submit_job(folder / "talk.wav", "transcription", callback_url=url).id
            until(lambda: bool((client.job(job).callback or {}).get("delivered_at")))
        forged = {"webhook-id": job, "webhook-timestamp": "1700000000", "webhook-signature": "v1,AAAA"}
        assert httpx.post(url, content=b"{}", headers=forged, timeout=PATIENCE_S, verify=TLS).status_code == 401
    finally:
        receiver.terminate()
        receiver.wait(PATIENCE_S)
    reader.join(PATIENCE_S)
    receiver.stdout.close()
    assert received == [f"job.succeeded {job}\n"]


def test_every_setting_and_file_that_is_named_exists() -> None:
    settings = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Z][A-Z_]*_[A-Z_]+)`", PAGE)) - {"STENO_URL", "STENO_API_KEY"}
    assert {"JOBS_KEEP_H", "CONCURRENT_JOBS", "JOB_HOURS_PER_DAY"} <= named
    assert [name for name in sorted(named) if f"`{name}`" not in settings] == []
    for path in re.findall(r"\]\(([^)#]+)[)#]", PAGE):
        assert path.startswith("http") or (ROOT / "docs" / path).exists(), path
