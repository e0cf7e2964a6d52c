"""Schemathesis against the server's own OpenAPI document: no 5xx, no undocumented status, schemas hold."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
from schemathesis.core.transport import Response

from running import TLS, RunningServer
from steno.stage_times import STAGES, TOTALS

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted") as server:
        yield server


@pytest.mark.slow
def test_no_input_causes_a_server_error_or_an_undocumented_answer(server: RunningServer, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    options = ["--checks", CHECKS, "--max-examples", "40", "--generation-deterministic", "--no-color"]
    ended = subprocess.run(
        [program, "run", f"{server.url}/openapi.json", *options],
        capture_output=True, text=True, timeout=270, cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    assert server.health()["worker_alive"] is True


def test_real_audio_gets_the_documented_answers(server: RunningServer, fixtures: Path) -> None:
    api = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operation = api["/v1/audio/transcriptions"]["POST"]
    for form in ("json", "text", "verbose_json"):
        url = f"{server.url}/v1/audio/transcriptions"
        files = {"file": (fixtures / "letter.flac").read_bytes()}
        answer = httpx.post(url, files=files, data={"response_format": form}, timeout=90, verify=TLS)
        assert answer.status_code == 200
        answer.request.read()
        operation.validate_response(Response.from_httpx(answer, verify=True))


def test_every_schema_that_is_named_is_there_and_timings_say_what_they_are(server: RunningServer) -> None:
    document = server.get("/openapi.json")
    schemas = document.json()["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', document.text)) <= set(schemas)
    assert schemas["VerboseTranscript"]["properties"]["timings"]["$ref"].endswith("/ResultTimings")
    timings = schemas["ResultTimings"]
    assert "summed work" in timings["description"]
    assert {*STAGES, *TOTALS} == set(timings["properties"])
    assert all(each["description"] for each in timings["properties"].values())
