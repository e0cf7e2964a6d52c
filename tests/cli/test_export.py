"""`steno export encoder`: what it writes, prints and refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")
pytest.importorskip("onnx", reason="exporting needs it: pip install 'steno[export]'")

from command_line import run_command
from running import PATIENCE_S, until
from steno.backends.qwen.encoders.encoder_file import EncoderRef, open_encoder_file
from tiny.clips import ASR

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("MODEL_", "ASR_", "DTYPE"))}


def steno(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_command("export", "encoder", *words, environment={**ENVIRONMENT, **environment})


def test_a_file_is_written_and_how_to_use_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "new" / "encoder.zip"
    ended = steno("--model", ASR, "--onnx", path, "--dtype", "int8", "--quiet")
    assert (ended.returncode, ended.stderr) == (0, "")
    first, last = ended.stdout.splitlines()
    assert first.startswith(f"{path}: int8, 1.0 MB, relative RMS difference to torch ")
    assert last == f"use it: ONNX_ENCODER_PATH={path} steno serve"
    manifest = open_encoder_file(EncoderRef(path, "onnxruntime")).manifest
    assert (manifest.model_id, manifest.dtype) == (str(ASR), "int8")
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_model_may_come_from_the_settings(tmp_path: Path) -> None:
    ended = steno("--onnx", tmp_path / "x.zip", MODEL_ID=str(ASR), DTYPE="bfloat16", QUANTIZE="int8")
    assert ended.returncode == 0
    assert "x.zip: fp32, 3.7 MB, largest difference to torch " in ended.stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "say which file to write: --onnx FILE, --tensorrt FILE, or both"),
        (("--tensorrt", "x.zip"), 2, "--tensorrt needs TensorRT: pip install 'steno[tensorrt]'"),
        (("--onnx", "x.zip", "--dtype", "int4"), 2, "'int4' is not one of 'fp32', 'fp16', 'int8'"),
        (("--onnx", "x.zip", "--model", "nowhere/at/all"), 2, "nowhere/at/all"),
    ],
)
def test_what_cannot_be_exported_is_refused(words: tuple[str, ...], code: int, says: str) -> None:
    ended = steno(*words)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_interrupted_export_leaves_nothing(tmp_path: Path) -> None:
    words = ["export", "encoder", "--model", str(ASR), "--onnx", str(tmp_path / "x.zip")]
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from steno.cli.main import main; sys.argv[0] = 'steno'; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, "LOG_LEVEL": "DEBUG"},
    )
    assert process.stderr is not None
    lines: list[str] = []
    until(lambda: "read " in (lines.append(process.stderr.readline()) or lines[-1]), PATIENCE_S)  # type: ignore[union-attr, func-returns-value]
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "steno: interrupted; nothing was written" in rest
    assert list(tmp_path.iterdir()) == []
