"""Files of encoders that do not fit are refused, with the reason."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")
pytest.importorskip("onnx", reason="exporting needs it: pip install 'steno[export]'")

import onnx
import torch
from safetensors.torch import load_file, save_file

from exported_encoders import load, rewritten
from steno.backends.qwen import factory
from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint
from steno.backends.qwen.encoders import onnx_encoder
from steno.backends.qwen.encoders.encoder_choice import audio_encoder_of, checked_encoder_file
from steno.backends.qwen.encoders.encoder_file import (
    EncoderDtype,
    EncoderRef,
    open_encoder_file,
    write_encoder_file,
)
from steno.backends.qwen.encoders.onnx_encoder import OnnxEncoder
from steno.backends.qwen.model.cuda.cuda_stream import CudaStream
from steno.backends.registry import BackendOptions
from steno.errors import ModelLoadError, SettingsError
from tiny.clips import ASR, DRAFT

CPU = torch.device("cpu")


def test_a_file_of_another_checkpoint_is_refused(
    exported: Callable[..., EncoderRef], trained: LoadedCheckpoint
) -> None:
    wrong = "0" * 64
    with pytest.raises(ModelLoadError, match=r"whose weights are not .*tiny-asr's; export it again: steno export"):
        checked_encoder_file(trained, rewritten(exported(), exported().path.with_name("other.zip"), weights=wrong))


def test_one_bias_makes_it_another_checkpoint(exported: Callable[..., EncoderRef], tmp_path: Path) -> None:
    shutil.copytree(ASR, tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.audio_tower.conv2d1.bias"] += 0.01
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelLoadError, match="whose weights are not"):
        checked_encoder_file(load(tmp_path), exported())


def test_a_file_of_another_size_is_refused(exported: Callable[..., EncoderRef], trained: LoadedCheckpoint) -> None:
    with pytest.raises(ModelLoadError, match=r"encoder of another size, exported from .*tiny-draft.*layers=3"):
        checked_encoder_file(trained, exported(DRAFT))


@pytest.mark.parametrize(
    ("dtype", "device", "of_model", "says"),
    [
        ("fp16", "cpu", torch.float32, "fp16, which is for GPUs; on a CPU use --dtype fp32 or int8"),
        ("int8", "cuda", torch.bfloat16, "int8, which is for CPUs; on a GPU use --dtype fp16"),
        ("fp16", "cuda", torch.float32, "the file is fp16, and DTYPE is float32"),
        ("fp32", "mps", torch.float32, "not supported on mps"),
    ],
)
def test_a_dtype_that_does_not_fit_the_device_is_refused(
    exported: Callable[..., EncoderRef],
    trained: LoadedCheckpoint,
    dtype: EncoderDtype,
    device: str,
    of_model: torch.dtype,
    says: str,
) -> None:
    there = replace(trained, device=torch.device(device), dtype=of_model)
    with pytest.raises(SettingsError, match=says) as refused:
        checked_encoder_file(there, exported(dtype=dtype))
    assert refused.value.param == "ONNX_ENCODER_PATH"


def test_a_damaged_file_is_refused(exported: Callable[..., EncoderRef], tmp_path: Path) -> None:
    content = bytearray(exported().path.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = EncoderRef(tmp_path / "damaged.zip", "onnxruntime")
    damaged.path.write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"damaged\.zip is damaged: Bad CRC-32 .*; export it again"):
        OnnxEncoder(open_encoder_file(damaged), CPU, torch.float32)


def test_a_model_that_onnx_runtime_cannot_read_is_refused(exported: Callable[..., EncoderRef], tmp_path: Path) -> None:
    manifest = open_encoder_file(exported()).manifest
    write_encoder_file(tmp_path / "x.zip", manifest, {"convolution": b"not a model", "attention": b"nor this"})
    file = open_encoder_file(EncoderRef(tmp_path / "x.zip", "onnxruntime"))
    with pytest.raises(ModelLoadError, match="cannot be loaded by ONNX Runtime"):
        OnnxEncoder(file, CPU, torch.float32)


def test_a_file_that_computes_something_else_here_is_refused(
    exported: Callable[..., EncoderRef], trained: LoadedCheckpoint, tmp_path: Path
) -> None:
    """As int8 may on a processor without the instructions for it."""
    file = open_encoder_file(exported())
    other = open_encoder_file(exported(dtype="fp16"))
    model = onnx.load_model_from_string(other.part("attention"))
    bias = next(one for one in model.graph.initializer if one.name == "multi_modal_projector.linear_2.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + 9, bias.name))
    parts = {"convolution": other.part("convolution"), "attention": model.SerializeToString()}
    write_encoder_file(tmp_path / "x.zip", replace(file.manifest, dtype="fp16"), parts)  # type: ignore[arg-type]
    off = open_encoder_file(EncoderRef(tmp_path / "x.zip", "onnxruntime"))
    with pytest.raises(ModelLoadError, match=r"its results differ from torch's by \d+% on this machine"):
        audio_encoder_of(trained, off, CudaStream(CPU))


@pytest.mark.parametrize("content", [None, b"", b"\x08\x0a onnx", "truncated", "without a manifest", "old"])
def test_what_is_no_exported_encoder_is_refused_when_the_server_starts(
    exported: Callable[..., EncoderRef], tmp_path: Path, content: bytes | str | None
) -> None:
    path = tmp_path / "encoder.zip"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "truncated":
        path.write_bytes(exported().path.read_bytes()[:-100])
    elif content == "old":
        rewritten(exported(), path, format=0)
    elif content is not None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("convolution.onnx", b"")
    says = {None: "no such file", "old": "another version of steno"}.get(content, "not written by `steno export")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=says) as refused:
        factory.create(BackendOptions(model_id=str(ASR), onnx_encoder=path))
    assert refused.value.param == "ONNX_ENCODER_PATH"


def test_a_file_for_the_other_runtime_is_refused(exported: Callable[..., EncoderRef]) -> None:
    with pytest.raises(SettingsError, match=r"TRT_ENCODER_PATH=.*: it is for ONNX_ENCODER_PATH"):
        factory.create(BackendOptions(model_id=str(ASR), trt_encoder=exported().path))


def test_on_a_gpu_onnx_runtime_must_know_cuda(exported: Callable[..., EncoderRef]) -> None:
    with pytest.raises(SettingsError, match="pip install onnxruntime-gpu"):
        OnnxEncoder(open_encoder_file(exported()), torch.device("cuda:0"), torch.float32, 7)


def test_on_a_gpu_the_providers_run_on_the_step_s_stream(
    exported: Callable[..., EncoderRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    file, gpu = open_encoder_file(exported()), torch.device("cuda:1")
    found = onnx_encoder.providers_of(file, "attention", gpu, 77)
    assert [name for name, _ in found] == names[1:], "tensorrt is not installed"
    assert (found[0][1]["device_id"], found[0][1]["user_compute_stream"]) == (1, "77")
    monkeypatch.setattr(onnx_encoder.importlib.util, "find_spec", lambda _: object())  # type: ignore[attr-defined]
    first = onnx_encoder.providers_of(file, "attention", gpu, 77)[0]
    assert (first[0], first[1]["user_compute_stream"]) == (names[0], "77")
