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

NAMES = ("english-0", "english-1", "german-0", "talk")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "tiny.zip"
    options = LoadOptions(str(ASR), device="cpu", dtype="float32")
    export_encoder(options, path, None, "fp32", lambda *_: None)
    return path


@pytest.fixture(scope="module")
def servers(unaligned: RunningServer, encoder: Path) -> Iterator[dict[str, RunningServer]]:
    settings = {"ASR_BACKEND": "qwen", "MODEL_ID": str(ASR), "ALIGNER": "none", "PRELOAD": "true"}
    with RunningServer(**settings, DEVICE="cpu", QUANTIZE="none", ONNX_ENCODER_PATH=str(encoder)) as onnx:
        yield {"torch": unaligned, "onnxruntime": onnx}


def test_health_says_what_encodes(servers: dict[str, RunningServer]) -> None:
    for runtime, server in servers.items():
        until(lambda server=server: server.health()["model_loaded"] is True)  # type: ignore[misc]
        health = server.health()
        assert (health["encoder"], health["precision"], health["cuda_graphs"]) == (runtime, "float32", False)


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
