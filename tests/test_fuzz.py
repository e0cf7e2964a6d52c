"""The fuzzer, in a short form: it finds nothing in a server, and would find what there is."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.fuzzing import driver, media, sessions
from benchmarks.fuzzing.deepgram import deepgram_sessions
from benchmarks.fuzzing.flux import flux_sessions
from benchmarks.fuzzing.live import live_attacks
from benchmarks.fuzzing.openai import openai_sessions
from benchmarks.fuzzing.requests import form_attacks, media_attacks
from steno.audio.decode import decode

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_a_server_stands_damaged_media_forms_and_sessions(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzz", "--quick", "--json", str(report)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    summary = json.loads(report.read_text(encoding="utf-8"))["summary"]
    assert (summary["findings"], summary["tracebacks"], summary["decoders_left"]) == (0, 0, 0)
    ways = (
        "media_200",
        "media_400",
        "forms_200",
        "forms_400",
        "live_1000",
        "openai_1000",
        "deepgram_1000",
        "deepgram_400",
        "flux_1000",
        "flux_400",
    )
    assert min(summary[name] for name in ways) > 0


class Faulty(BaseHTTPRequestHandler):
    """Answers each POST wrongly, in its own way."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        match self.path.rpartition("/")[2]:
            case "transcriptions":
                self.send_error(500)
            case "stream":
                self.send_error(400)  # with a page of its own for a body
            case _:
                self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def faulty() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Faulty) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_errors_and_connections_that_end_are_found(faulty: str, tmp_path: Path) -> None:
    verdict = await driver.attack(form_attacks, faulty, random.Random(1), seconds=60)
    assert driver.MAX_FINDINGS <= len(verdict.findings) == verdict.requests
    kinds = {finding.what[:14] for finding in verdict.findings}
    assert kinds == {"status 500: <!", "status 400 wit", "no answer: Rem"}
    paths = driver.keep(verdict.findings, tmp_path)
    assert [path.read_bytes() for path in paths] == [finding.attack.body for finding in verdict.findings]


@pytest.mark.parametrize(
    ("reply", "code", "what"),
    [
        ('{"type": "x", "value": NaN}', 1000, "a message that is no JSON object"),
        ("[]", 1000, "a message that is no JSON object"),
        ("{}", 1011, "close code 1011: broken"),
        ("{}", 1000, "the session ended without an answer to its last frame"),
    ],
)
async def test_what_a_session_must_not_do_is_found(reply: str, code: int, what: str) -> None:
    async def faulty(socket: ServerConnection) -> None:
        await socket.send(reply)
        await socket.close(code, "broken")

    def one_kind(dice: random.Random) -> Iterator[sessions.Session]:
        while True:
            yield sessions.Session("x", "/", (), "answer", answer="never")

    async with serve(faulty, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        verdict = await sessions.attack(one_kind, f"http://127.0.0.1:{port}", random.Random(1), seconds=60)
    assert driver.MAX_FINDINGS <= len(verdict.findings) == verdict.requests
    assert {finding.what[: len(what)] for finding in verdict.findings} == {what}


@pytest.mark.parametrize(
    "attacks", [media_attacks, form_attacks, live_attacks, openai_sessions, deepgram_sessions, flux_sessions]
)
def test_a_seed_gives_the_same_requests_again(attacks) -> None:
    first, again, other = (list(islice(attacks(random.Random(seed)), 20)) for seed in (1, 1, 2))
    assert first == again != other


def test_what_is_damaged_is_sane_before(tmp_path: Path) -> None:
    for name, data in media.seeds().items():
        path = tmp_path / name
        path.write_bytes(data)
        assert sum(map(len, decode(path, max_seconds=None))) >= 0.9 * 16_000
