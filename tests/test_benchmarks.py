"""Benchmarks that need a machine which is seldom at hand run to their end on the tiny model: no number is judged."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

from steno.backends.moonshine import installed
from tiny.clips import ASR

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "reported"),
    [
        (
            ("gpu_engine", "--device", "cpu", "--most", "2"),
            {"live_streams", "step_ms", "offline_audio_s_per_s", "decode_1_ms", "encode_32_ms", "fill_32_ms"},
        ),
        (
            ("streaming_cost",),
            {"naive_over_steno_24s", "refeed_over_steno_120s", "refeed_over_steno_longest", "batch4_gain", "steno_ms"},
        ),
        (
            ("encoder",),
            {"onnx_over_torch_encoder", "onnx_int8_over_torch_int8_encoder_step", "torch_clip_ms", "onnx_int8_rms"},
        ),
    ],
)
def test_it_runs_and_reports(tmp_path: Path, command: tuple[str, ...], reported: set[str]) -> None:
    report = tmp_path / "report.json"
    name, *options = command
    subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--model", str(ASR), "--quick", "--json", str(report), *options],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=240,
    )
    summary = json.loads(report.read_text(encoding="utf-8"))["summary"]
    assert reported <= summary.keys()
    may_be_zero = re.compile("live_streams|load_.*|.*_difference|.*_rms")
    assert [name for name, value in summary.items() if value <= 0 and not may_be_zero.fullmatch(name)] == []


@pytest.mark.slow
@pytest.mark.skipif(find_library("flite") is None, reason="the songs need flite: apt install libflite1")
def test_songs_and_repeated_speech_are_timed_line_by_line(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.alignment", "--quick", "--json", str(report), "--parts", "tiny", "real"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=280,
    )
    values = json.loads(report.read_text())["summary"]
    for sheet in ("written_out", "once"):
        assert values[f"tiny_{sheet}_median_ms"] <= 100
        assert values[f"tiny_{sheet}_aae_ms"] <= 200
        assert values[f"tiny_{sheet}_pco_03"] >= 0.95
        assert values[f"tiny_{sheet}_choruses_right"] == 1
        assert values[f"whole_tiny_{sheet}_pco_03"] < 0.5
    if installed.wheel_folder() is not None:
        assert (values["real_found"], values["real_invented"]) == (1, 0)
        assert values["real_max_ms"] <= 150


@pytest.mark.slow
@pytest.mark.skipif(find_library("flite") is None, reason="synthetic voices need flite: apt install libflite1")
@pytest.mark.skipif(installed.wheel_folder() is None, reason="recorded voices are in Moonshine's wheel")
def test_speakers_of_short_conversations_are_told_apart(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.speakers", "--quick", "--json", str(report)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=240,
    )
    summary = json.loads(report.read_text(encoding="utf-8"))["summary"]
    assert summary["der"] <= 0.15
    assert summary["right_words"] >= 0.85
