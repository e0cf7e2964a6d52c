"""The benchmark of an overloaded server runs to its end in its short form; numbers of the machine are not judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.overloading.exchange import Answer, address_of, answer_of

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_an_overloaded_server_answers_every_request(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = ["--quick", "--backend", "scripted", "--model", "scripted@50ms", "--live", "2", "--json", str(report)]
    subprocess.run(
        [sys.executable, "-m", "benchmarks.overload", *command], cwd=ROOT, check=True, capture_output=True, timeout=240
    )
    summary = json.loads(report.read_text(encoding="utf-8"))["summary"]
    assert summary["failures"] == 0
    assert summary["refusals"] > 0
    assert summary["capacity_per_s"] > 0
    assert {"goodput_open", "goodput_closed", "first_retry_open", "first_retry_closed"} <= summary.keys()
    assert {"refusal_p95_ms", "crowd_refusal_p95_ms", "live_final_ratio"} <= summary.keys()


def test_an_answer_is_read_once_all_of_it_is_there() -> None:
    whole = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}"
    assert [answer_of(whole[:size]) for size in range(len(whole))] == [None] * len(whole)
    assert answer_of(whole) == Answer(429, 7.0)
    with pytest.raises(ValueError, match="not an answer"):
        answer_of(b"SSH-2.0\r\n\r\n")


def test_each_client_has_an_address_of_its_own() -> None:
    assert [address_of(n, 2) for n in (0, 249, 250)] == ["127.2.1.1", "127.2.1.250", "127.2.2.1"]
    assert len({address_of(n, 1) for n in range(5000)}) == 5000
