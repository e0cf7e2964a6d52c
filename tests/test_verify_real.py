"""`benchmarks.verify_real`, which is for real weights, on the tiny ones: what is damaged does not pass."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

from safetensors.torch import load_file, save_file

from benchmarks import verify_real
from benchmarks.verification import material, outcome, rates

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests" / "tiny"
HEARD = ("english-0", "english-3", "german-0", "german-1")
SHUFFLED = "model.multi_modal_projector.linear_1.weight"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of the clips, one of them with its reference in a file of its own."""
    folder = tmp_path_factory.mktemp("recordings")
    listed = json.loads((TINY / "clips" / "clips.json").read_text(encoding="utf-8"))
    for name in HEARD:
        shutil.copy(TINY / "clips" / f"{name}.flac", folder)
    (folder / f"{HEARD[0]}.txt").write_text(listed[HEARD[0]]["text"].upper(), encoding="utf-8")
    (folder / "clips.json").write_text(json.dumps({name: listed[name] for name in HEARD[1:]}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny recogniser with one weight shuffled, and a `generate` that neither ends nor repeats itself."""
    import torch

    folder = tmp_path_factory.mktemp("damaged") / "tiny-asr"
    shutil.copytree(TINY / "tiny-asr", folder)
    weights = load_file(folder / "model.safetensors")
    values = weights[SHUFFLED].flatten()
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(0))
    weights[SHUFFLED] = values[order].reshape(weights[SHUFFLED].shape)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    generation = json.loads((folder / "generation_config.json").read_text())
    otherwise = {"suppress_tokens": generation["eos_token_id"], "repetition_penalty": 3.0}
    (folder / "generation_config.json").write_text(json.dumps({**generation, **otherwise}))
    return folder


def verify(model: Path, recordings: Path, report: Path, *more: str) -> tuple[int, str, dict[str, Any]]:
    """Its exit code, what it prints, and its JSON."""
    command = [sys.executable, "-m", "benchmarks.verify_real", "--quick", "--model", str(model), "--device", "cpu"]
    ended = subprocess.run(
        [*command, "--audio", str(recordings), "--json", str(report), *more],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert report.exists(), ended.stderr[-3000:]
    return ended.returncode, ended.stdout, json.loads(report.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_good_checkpoint_passes_and_everything_is_in_the_report(recordings: Path, tmp_path: Path) -> None:
    report = tmp_path / "verify.json"
    code, printed, found = verify(TINY / "tiny-asr", recordings, report, "--aligner", str(TINY / "tiny-aligner"))
    checks = {check["name"]: check for check in found["checks"]}
    assert code == 0, printed
    assert found["passed"]
    assert {name: check["verdict"] for name, check in checks.items()} == {
        "audio": "pass",
        "load": "pass",
        "parity": "pass",
        "text": "pass",
        "nothing": "pass",
        "speed": "pass",
        "unload": "skipped",
        "aligner": "pass",
    }
    assert "too small" in checks["unload"]["says"]
    assert checks["load"]["measured"]["layout"] == "native"
    assert checks["parity"]["measured"]["equal_batched"] == checks["parity"]["measured"]["pieces"] == 4
    assert checks["text"]["measured"]["files"] == len(HEARD)
    assert checks["aligner"]["measured"]["repaired_share"] is not None
    assert checks["aligner"]["measured"]["mean_error_ms"] is not None
    assert [file["name"] for file in found["files"]] == [f"{name}.flac" for name in HEARD]
    markdown = report.with_suffix(".md").read_text(encoding="utf-8")
    assert all(f"| {name} | **{check['verdict']}** |" in markdown for name, check in checks.items())
    assert all(line.split()[0] in ("PASS", "skip") for line in printed.splitlines())


@pytest.mark.slow
def test_a_damaged_checkpoint_fails(damaged: Path, recordings: Path, tmp_path: Path) -> None:
    code, printed, found = verify(damaged, recordings, tmp_path / "verify.json")
    checks = {check["name"]: check for check in found["checks"]}
    assert code == 1
    assert not found["passed"]
    assert checks["text"]["verdict"] == "fail", printed
    assert checks["text"]["measured"]["wer"] > 0.2
    assert checks["parity"]["verdict"] == "fail", printed
    assert "by generate" in checks["parity"]["says"]
    assert checks["aligner"]["verdict"] == "skipped"


def test_a_folder_that_is_no_checkpoint_fails_and_says_why(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = verify_real.parser().parse_args(["--model", str(tmp_path), "--audio", str(recordings)])
    verification = verify_real.Verification(options)
    verification.run()
    verdicts = {check.name: check.verdict for check in verification.found}
    assert verdicts["load"] == "fail"
    assert verdicts["parity"] == verdicts["text"] == "skipped"
    assert "config.json" in capsys.readouterr().out


def test_references_stand_beside_recordings_or_in_a_list(recordings: Path) -> None:
    found = {file.stem: material.reference_of(file) for file in material.found(recordings)}
    assert list(found) == sorted(HEARD)
    first, other = found[HEARD[0]], found[HEARD[-1]]
    assert first is not None
    assert (first.text.isupper(), first.language, first.words) == (True, None, ())
    assert other is not None
    assert other.language == "de"
    assert [word for word, _, _ in other.words] == other.text.split()


def test_words_are_counted_or_characters_where_no_spaces_are_written() -> None:
    assert rates.errors("It's cold, Dr. Brown!", "its COLD dr browne") == rates.Errors("WER", 1, 4)
    assert rates.errors("今天天气很好。", "今天 天气 真好") == rates.Errors("CER", 1, 6)
    assert rates.errors("", "thank you") == rates.Errors("WER", 2, 0)
    assert rates.summed([rates.Errors("WER", 1, 4), rates.Errors("CER", 1, 6), rates.Errors("WER", 0, 6)]) == [
        rates.Errors("WER", 1, 10),
        rates.Errors("CER", 1, 6),
    ]


def test_one_check_that_breaks_down_fails_alone(capsys: pytest.CaptureFixture[str]) -> None:
    def breaks() -> outcome.Check:
        raise ZeroDivisionError("no seconds")

    broken = outcome.attempted("speed", breaks)
    assert (broken.verdict, broken.says) == ("fail", "broke down: ZeroDivisionError: no seconds")
    assert not outcome.passed([broken])
    assert outcome.passed([outcome.skipped("unload", "too small")])
    assert "ZeroDivisionError" in capsys.readouterr().err
