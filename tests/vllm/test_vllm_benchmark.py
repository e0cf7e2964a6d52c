"""The benchmark of this backend runs to its end on the tiny checkpoint: no number is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
RUN_S = 240.0


@pytest.mark.timeout(RUN_S + 10)
@pytest.mark.parametrize(
    ("options", "reported"),
    [
        (
            ("--parts", "live", "--streams", "1"),
            {"resubmit_over_windows_24s_1", "cached_share_24s", "windows_ms_1", "resubmit_ms_1", "own_over_vllm_live"},
        ),
        pytest.param(
            ("--parts", "offline"),
            {"server_overhead", "same_text_as_vllm", "own_over_vllm_offline"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_it_runs_and_reports(tmp_path: Path, options: tuple[str, ...], reported: set[str]) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks.vllm", "--quick", "--json", str(report), *options]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=RUN_S)
    summary = json.loads(report.read_text(encoding="utf-8"))["summary"]
    assert reported <= summary.keys()
    assert all(value > 0 for value in summary.values())
