"""A real server whose encoder runs on ONNX Runtime: it hears what one on torch hears, in files and live."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")
pytest.importorskip("onnx", reason="exporting needs it: pip install 'steno[export]'")

from dialects import pcm
from running import RunningServer, post, until
from steno.backends.qwen.encoders.encoder_export import export_encoder
from steno.backends.qwen.engine_options import LoadOptions
from talking import said
from tiny.clips import ASR, clips

FP32 = {"DEVICE": "cpu", "QUANTIZE": "none"}
QWEN = {"ASR_BACKEND": "qwen", "MODEL_ID": str(ASR), "ALIGNER": "none", "PRELOAD": "true", **FP32}
NAMES = ("english-0", "english-1", "german-0", "talk")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "tiny.zip"
    options = LoadOptions(str(ASR), device="cpu", dtype="float32")
    export_encoder(options, path, None, "fp32", lambda *_: None)
    return path


@pytest.fixture(scope="module")
def servers(encoder: Path) -> Iterator[dict[str, RunningServer]]:
    with RunningServer(**QWEN) as plain, RunningServer(**QWEN, ONNX_ENCODER_PATH=str(encoder)) as onnx:
        yield {"torch": plain, "onnxruntime": onnx}


def test_health_says_what_encodes(servers: dict[str, RunningServer]) -> None:
    for runtime, server in servers.items():
        until(lambda server=server: server.health()["model_loaded"] is True)  # type: ignore[misc]
        health = server.health()
        assert (health["encoder"], health["precision"], health["cuda_graphs"]) == (runtime, "float32", False)


def test_by_default_a_cpu_runs_int8_and_hears_the_same(servers: dict[str, RunningServer]) -> None:
    by_default = {name: value for name, value in QWEN.items() if name not in FP32}
    with RunningServer(**by_default) as server:
        for name in ("english-0", "english-1", "german-0"):
            answers = [post(each, clips()[name].path).json()["text"] for each in (server, servers["torch"])]
            assert answers[0] == answers[1] == clips()[name].text
        assert server.health()["precision"] == "int8"


def test_files_give_the_same_segments(servers: dict[str, RunningServer]) -> None:
    for name in NAMES:
        answers = [
            post(server, clips()[name].path, response_format="verbose_json").json() for server in servers.values()
        ]
        torch, onnx = (answer["segments"] for answer in answers)
        assert [segment["text"] for segment in torch] == [segment["text"] for segment in onnx]
        assert [segment["avg_logprob"] for segment in torch] == pytest.approx(
            [segment["avg_logprob"] for segment in onnx], abs=2e-3
        )


async def test_live_streams_give_the_same_finals(servers: dict[str, RunningServer]) -> None:
    for name in NAMES:
        heard = [await said(server, pcm(clips()[name])) for server in servers.values()]
        assert [final["text"] for final in heard[0].finals] == [final["text"] for final in heard[1].finals]


def test_a_file_of_another_checkpoint_keeps_the_model_from_loading_and_says_why(encoder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in ASR.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.audio_tower.conv2d1.bias"] += 0.01
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    settings = {**QWEN, "MODEL_ID": str(tmp_path), "PRELOAD": "false", "ONNX_ENCODER_PATH": str(encoder)}
    with RunningServer(**settings) as server:
        answer = post(server, clips()["english-0"].path)
        assert answer.status_code == 503
        assert "whose weights are not" in answer.json()["error"]["message"]
        assert "export it again" in str(server.health()["load_error"])
