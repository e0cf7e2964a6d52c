"""The benchmark of an overloaded server runs to its end in its short form; numbers of the machine are not judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert {"refusal_p95_ms", "live_final_ratio"} <= summary.keys()
