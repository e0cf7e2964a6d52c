"""The encoder on TensorRT, as far as it can be tested without a GPU: refusals, and what the package is asked for."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")
pytest.importorskip("onnx", reason="exporting needs it: pip install 'steno[export]'")

import onnx
import onnxruntime
import torch

from exported_encoders import inputs, on_cpu, rewritten, silent
from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint
from steno.backends.qwen.encoders import tensorrt_build
from steno.backends.qwen.encoders.encoder_choice import checked_encoder_file
from steno.backends.qwen.encoders.encoder_export import export_encoder, onnx_parts
from steno.backends.qwen.encoders.encoder_file import (
    EncoderFile,
    EncoderRef,
    EncoderSizes,
    EngineTarget,
    open_encoder_file,
    write_encoder_file,
)
from steno.backends.qwen.encoders.tensorrt_encoder import TensorRtEncoder, check_target
from steno.backends.qwen.model.torch_encoder import torch_encoder_of
from steno.errors import ModelLoadError, SettingsError
from tiny.clips import ASR

VERSION, GPU, CAPABILITY = "11.4.0", "NVIDIA H200", (9, 0)


def test_tensorrt_is_refused_by_name_without_the_package_and_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=r"--tensorrt needs TensorRT: pip install 'steno\[tensorrt\]'"):
        export_encoder(on_cpu(ASR), None, tmp_path / "x.zip", "fp16", silent)
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    with pytest.raises(SettingsError, match="torch finds none"):
        export_encoder(on_cpu(ASR), None, tmp_path / "x.zip", "fp16", silent)
    assert list(tmp_path.iterdir()) == []


def test_an_engine_needs_a_gpu(exported: Callable[..., EncoderRef], trained: LoadedCheckpoint, tmp_path: Path) -> None:
    ref = rewritten(exported(), tmp_path / "x.zip", runtime="tensorrt")
    with pytest.raises(SettingsError, match="TensorRT needs a CUDA device"):
        checked_encoder_file(trained, ref)


def test_an_engine_of_another_machine_is_refused(exported: Callable[..., EncoderRef]) -> None:
    file: EncoderFile = open_encoder_file(exported())
    target = EngineTarget("10.13.0", "NVIDIA H200", (9, 0), 128, 32)
    check_target(file, target, "10.13.0", "NVIDIA H200", (9, 0))
    with pytest.raises(ModelLoadError, match=r"built with TensorRT 10\.13\.0, not 11\.4\.0; export it here"):
        check_target(file, target, "11.4.0", "NVIDIA H200", (9, 0))
    with pytest.raises(ModelLoadError, match="built for NVIDIA H200, not for NVIDIA L4"):
        check_target(file, target, "10.13.0", "NVIDIA L4", (8, 9))


def test_engines_are_built_with_the_shapes_that_the_scheduler_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in of the package, which has only what TensorRT 10.12 and 11 both have."""
    asked: dict[str, Any] = {}
    profile = SimpleNamespace(set_shape=lambda name, *shapes: asked.update({name: shapes}))
    config = SimpleNamespace(add_optimization_profile=lambda added: asked.update(profile=added))
    builder = SimpleNamespace(
        create_network=lambda flags: asked.update(flags=flags),
        create_optimization_profile=lambda: profile,
        create_builder_config=lambda: config,
        build_serialized_network=lambda *_: b"engine",
    )
    parser = SimpleNamespace(parse=lambda model: asked.update(model=model) or True)
    trt = SimpleNamespace(
        ILogger=type("ILogger", (), {}),
        Builder=lambda _: builder,
        OnnxParser=lambda *_: parser,
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
        __version__="11.4.0",
    )
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    sizes = EncoderSizes(bands=128, d_model=896, hidden=1024, layers=18, window_tokens=104)
    shapes = tensorrt_build.profiles(sizes)["attention"]
    assert tensorrt_build.build_engine(b"onnx", shapes) == b"engine"
    assert (asked["flags"], asked["model"], asked["profile"]) == (2, b"onnx", profile)
    assert asked["hidden"] == ((1, 104, 896), (8, 104, 896), (32, 104, 896))
    assert asked["lengths"] == ((1,), (8,), (32,))


class Context:
    """An execution context of the package, over memory addresses, that runs the ONNX model itself."""

    def __init__(self, model: bytes, shapes: list[dict[str, tuple[int, ...]]]) -> None:
        self._session = onnxruntime.InferenceSession(model)
        self._asked = shapes
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = shape
        return shape[0] <= 4

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        shape = next(one.shape for one in self._session.get_outputs() if one.name == name)
        return next(iter(self._shapes.values()))[0], *shape[1:]

    def set_tensor_address(self, name: str, address: int) -> None:
        self._addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        self._asked.append(dict(self._shapes))
        feeds = {one.name: self._array(one.name, self._shapes[one.name]) for one in self._session.get_inputs()}
        (output,) = self._session.get_outputs()
        (found,) = self._session.run(None, feeds)
        self._array(output.name, found.shape)[:] = found
        return stream == 7

    def _array(self, name: str, shape: tuple[int, ...]) -> Any:
        kind: Any = ctypes.c_int64 if name == "lengths" else ctypes.c_float
        memory = (kind * int(np.prod(shape))).from_address(self._addresses[name])
        return np.frombuffer(memory, np.int64 if name == "lengths" else np.float32).reshape(shape)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, tuple[int, ...]]]:
    """The shapes of all calls. The package and the GPU are stand-ins; the memory is the tensors'."""
    shapes: list[dict[str, tuple[int, ...]]] = []

    def engine(model: bytes) -> Any:
        return SimpleNamespace(create_execution_context=lambda: Context(model, shapes)) if model else None

    runtime = SimpleNamespace(deserialize_cuda_engine=engine)
    package = SimpleNamespace(ILogger=type("ILogger", (), {}), Runtime=lambda _: runtime, __version__=VERSION)
    monkeypatch.setitem(sys.modules, "tensorrt", package)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: GPU)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: CAPABILITY)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: SimpleNamespace(cuda_stream=7))
    return shapes


def engines(exported: EncoderRef, path: Path, parts: Any, **target: Any) -> EncoderFile:
    manifest = open_encoder_file(exported).manifest
    built_for = replace(EngineTarget(VERSION, GPU, CAPABILITY, max_chunks=4, max_windows=3), **target)
    write_encoder_file(path, replace(manifest, runtime="tensorrt", target=built_for), parts)
    return open_encoder_file(EncoderRef(path, "tensorrt"))


def test_engines_compute_what_torch_computes_in_calls_of_their_size(
    exported: Callable[..., EncoderRef],
    trained: LoadedCheckpoint,
    tmp_path: Path,
    asked: list[dict[str, tuple[int, ...]]],
) -> None:
    file = engines(exported(), tmp_path / "x.zip", onnx_parts(trained, "fp32", 104))
    encoder = TensorRtEncoder(file, torch.device("cpu"), torch.float32)
    reference = torch_encoder_of(trained)
    mel, windows = inputs(trained, 7)
    assert (encoder.convolve(mel) - reference.convolve(mel)).abs().max() <= 1e-4
    for found, wanted in zip(encoder.attend(windows), reference.attend(windows), strict=True):
        assert (found - wanted).abs().max() <= 1e-4
    assert [call["mel"] for call in asked[:2]] == [(4, 128, 100), (3, 128, 100)]
    assert [call["hidden"] for call in asked[2:]] == [(3, 104, 128), (3, 104, 128), (1, 104, 128)]


def test_an_engine_that_cannot_be_loaded_is_refused(
    exported: Callable[..., EncoderRef], tmp_path: Path, asked: list[dict[str, tuple[int, ...]]]
) -> None:
    file = engines(exported(), tmp_path / "x.zip", {"convolution": b"", "attention": b""})
    with pytest.raises(ModelLoadError, match=r"TensorRT 11\.4\.0 cannot load the convolution of .*x\.zip"):
        TensorRtEncoder(file, torch.device("cpu"), torch.float32)
    assert asked == []


def test_a_shape_that_an_engine_does_not_accept_is_an_error(
    exported: Callable[..., EncoderRef],
    trained: LoadedCheckpoint,
    tmp_path: Path,
    asked: list[dict[str, tuple[int, ...]]],
) -> None:
    file = engines(exported(), tmp_path / "x.zip", onnx_parts(trained, "fp32", 104), max_chunks=5)
    mel, _ = inputs(trained, 5)
    with pytest.raises(RuntimeError, match=r"does not accept mel of shape \(5, 128, 100\)"):
        TensorRtEncoder(file, torch.device("cpu"), torch.float32).convolve(mel)
    assert asked == []


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_the_attention_of_an_engine_has_windows_of_8_s(trained: LoadedCheckpoint, dtype: Any) -> None:
    model = onnx.load_model_from_string(onnx_parts(trained, dtype, 104)["attention"])
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value or dim.dim_param for dim in shape] == ["windows", 104, 128]
    assert "Range" not in {node.op_type for node in model.graph.node}
