"""`benchmarks.gpu`: the server that it measures scripts its text, wherever its model is; all of it runs on a CPU."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

from benchmarks.gpu import MODULE, OPEN
from benchmarks.gpu_parts.budget import Budget
from benchmarks.gpu_parts.streams import Trial, best_of
from benchmarks.gpu_parts.uploads import Recording, read_recordings, upload_all
from benchmarks.harness import Report
from benchmarks.server import Server
from tiny.clips import ASR, CLIPS

ROOT = Path(__file__).parent.parent.parent
SETTINGS = {"ASR_BACKEND": "qwen", "MODEL_ID": str(ASR), "DEVICE": "cpu"}


@pytest.mark.slow
@pytest.mark.parametrize("process", [{}, {"GATEWAY_MODE": "true"}], ids=["in the server", "in a worker"])
def test_the_text_is_three_words_for_each_second(process: dict[str, str]) -> None:
    recording = next(each for each in read_recordings(CLIPS) if each.name == "english-0.flac")
    with Server(MODULE, **OPEN, **SETTINGS, **process) as server:
        words = {len(_text(server, recording, language).split()) for language in ("en", "")}
        served = upload_all(server.url, [recording], 2, 4)
    assert words == {round(3 * recording.seconds)}
    assert len(served.latencies_s) == 4
    assert served.audio_s == pytest.approx(4 * recording.seconds)
    assert {"decode", "recognize"} <= served.stages_ms.keys()


@pytest.mark.slow
def test_a_dry_run_measures_all(tmp_path: Path) -> None:
    report = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--dry-run", "--json", str(report)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=280)
    summary = json.loads(report.read_text(encoding="utf-8"))["summary"]
    for part in ("encode_1_ms", "prefill_2_ms", "first_token_2_ms", "decode_1_ms", "decode_2_share_mm"):
        assert summary[f"tiny-asr_{part}"] > 0
    for mode in ("graphs", "eager"):
        for part in (
            "live_streams",
            "offline_1_audio_s_per_s",
            "offline_4_p95_ms",
            "first_text_2_ms",
            "live_step_share",
        ):
            assert summary[f"tiny-asr_{mode}_{part}"] > 0


def test_what_does_not_fit_into_the_budget_is_left_out_and_named(tmp_path: Path) -> None:
    options = SimpleNamespace(json=tmp_path / "report.json", quick=False)
    report = Report("gpu", options)  # type: ignore[arg-type]
    budget = Budget(10.0, report)
    assert budget.allows("a short part", 5.0)
    assert not budget.allows("a long part", 60.0)
    assert budget.part(2).left_s == pytest.approx(5.0, abs=0.1)
    report.add("measured", 1.0)
    report.save()
    written = json.loads(options.json.read_text(encoding="utf-8"))
    assert written["summary"] == {"measured": 1.0}
    assert written["notes"] == ["left out: a long part: it takes about 60 s, and 10 s are left"]


def test_the_best_trial_is_the_largest_within_the_bound() -> None:
    trials = [
        Trial(streams, lag_ms, 0.0, 0.0) for streams, lag_ms in ((64, 90.0), (128, 700.0), (96, 499.0), (112, 501.0))
    ]
    best = best_of(trials, 500.0)
    assert best is not None
    assert best.streams == 96
    assert best_of(trials, 10.0) is None


def _text(server: Server, recording: Recording, language: str) -> str:
    files = {"file": (recording.name, io.BytesIO(recording.data))}
    data = {"language": language} if language else {}
    answer = httpx.post(f"{server.url}/v1/audio/transcriptions", files=files, data=data, timeout=60.0)
    return str(answer.raise_for_status().json()["text"])
