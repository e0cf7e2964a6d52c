"""Encoders on other runtimes: what they compute is what torch computes, and a file that does not fit is refused."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")
pytest.importorskip("onnx", reason="exporting needs it: pip install 'steno[export]'")

import onnx
import torch
from loguru import logger

from steno.backends.base import Recognize
from steno.backends.qwen import factory
from steno.backends.qwen.backend import QwenBackend
from steno.backends.qwen.checkpoint.encoder_checksum import encoder_checksum
from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint, load_recogniser
from steno.backends.qwen.encoders import onnx_encoder, tensorrt_build
from steno.backends.qwen.encoders.encoder_choice import audio_encoder_of, checked_encoder_file, relative_rms
from steno.backends.qwen.encoders.encoder_export import TOLERANCE, export_encoder
from steno.backends.qwen.encoders.encoder_file import (
    EncoderDtype,
    EncoderFile,
    EncoderRef,
    EngineTarget,
    open_encoder_file,
    write_encoder_file,
)
from steno.backends.qwen.encoders.fallback_encoder import FallbackEncoder
from steno.backends.qwen.encoders.onnx_encoder import OnnxEncoder
from steno.backends.qwen.encoders.tensorrt_encoder import check_target
from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
from steno.backends.qwen.model.cuda.cuda_stream import CudaStream
from steno.backends.qwen.model.torch_encoder import torch_encoder_of
from steno.backends.registry import BackendOptions
from steno.errors import ModelLoadError, SettingsError
from stepping import outcomes_of
from tiny.clips import ASR, DRAFT, clips, word_error_rate

CPU = torch.device("cpu")


def silent(*_: object) -> None:
    return None


def on_cpu(folder: Path) -> LoadOptions:
    return LoadOptions(str(folder), device="cpu", dtype="float32")


def load(folder: Path) -> LoadedCheckpoint:
    return load_recogniser(on_cpu(folder), silent)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., EncoderRef]:
    """The file of a checkpoint's encoder, exported once."""
    folder, files = tmp_path_factory.mktemp("encoders"), {}

    def export(checkpoint: Path = ASR, dtype: EncoderDtype = "fp32") -> EncoderRef:
        key = f"{checkpoint.name}-{dtype}"
        if key not in files:
            files[key] = folder / f"{key}.zip"
            export_encoder(on_cpu(checkpoint), files[key], None, dtype, silent)
        return EncoderRef(files[key], "onnxruntime")

    return export


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    yield lines
    logger.remove(sink)


def rewritten(ref: EncoderRef, path: Path, **changes: Any) -> EncoderRef:
    """A copy of a file with another manifest."""
    file = open_encoder_file(ref)
    parts = {part: file.part(part) for part in ("convolution", "attention")}
    write_encoder_file(path, replace(file.manifest, **changes), parts)
    return EncoderRef(path, changes.get("runtime", ref.runtime))


def inputs(loaded: LoadedCheckpoint, rows: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    config: Any = loaded.model.config
    generator = torch.Generator().manual_seed(rows)
    mel = torch.randn(rows, config.audio_config.num_mel_bins, 100, generator=generator)
    lengths = torch.randint(1, 105, (rows,), generator=generator).tolist()
    return mel, [torch.randn(length, config.audio_config.d_model, generator=generator) for length in lengths]


@pytest.mark.parametrize("kind", ["random", "trained"])
@pytest.mark.parametrize("rows", [*range(1, 17)])
def test_onnx_runtime_computes_what_torch_computes(
    exported: Callable[..., EncoderRef], checkpoints: Path, kind: str, rows: int
) -> None:
    folder = {"random": checkpoints / "recogniser", "trained": ASR}[kind]
    loaded = load(folder)
    encoder = OnnxEncoder(checked_encoder_file(loaded, exported(folder)), CPU, torch.float32)
    reference = torch_encoder_of(loaded)
    mel, windows = inputs(loaded, rows)
    with torch.inference_mode():
        assert (encoder.convolve(mel) - reference.convolve(mel)).abs().max() <= 1e-4
        for found, wanted in zip(encoder.attend(windows), reference.attend(windows), strict=True):
            assert found.shape == wanted.shape
            assert (found - wanted).abs().max() <= 1e-4


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 1e-6), ("int8", 2e-3)])
def test_a_window_s_neighbours_change_nothing(
    exported: Callable[..., EncoderRef], trained: LoadedCheckpoint, dtype: EncoderDtype, tolerance: float
) -> None:
    """Other sums than in a narrower batch may round an int8 activation to its neighbour, and no more."""
    encoder = OnnxEncoder(open_encoder_file(exported(dtype=dtype)), CPU, torch.float32)
    _, windows = inputs(trained, 6)
    loud = [100 * window for window in windows[1:]]
    alone = encoder.attend(windows[:1])[0]
    together = encoder.attend([windows[0], *loud])[0]
    assert relative_rms(together, alone) <= tolerance


def test_a_session_does_not_keep_the_content_of_the_file(exported: Callable[..., EncoderRef]) -> None:
    encoder = OnnxEncoder(open_encoder_file(exported()), CPU, torch.float32)
    for session in (encoder._convolution._session, encoder._attention._session):
        assert vars(session)
        assert not [name for name, value in vars(session).items() if isinstance(value, bytes)]


def test_int8_stays_near_torch(exported: Callable[..., EncoderRef], trained: LoadedCheckpoint) -> None:
    encoder = OnnxEncoder(open_encoder_file(exported(dtype="int8")), CPU, torch.float32)
    _, windows = inputs(trained, 4)
    for found, wanted in zip(encoder.attend(windows), torch_encoder_of(trained).attend(windows), strict=True):
        assert 0 < relative_rms(found, wanted) < 0.05


def test_the_models_are_plain_onnx_of_a_fixed_opset(exported: Callable[..., EncoderRef]) -> None:
    files = [open_encoder_file(exported(dtype=dtype)) for dtype in ("fp32", "fp16", "int8")]
    for file, part in product(files, ("convolution", "attention")):
        model = onnx.load_model_from_string(file.part(part))  # type: ignore[arg-type]
        onnx.checker.check_model(model, full_check=True)
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20)]
        first = model.graph.input[0].type.tensor_type.shape.dim[0]
        assert first.dim_param, "the number of rows is open"


def test_the_manifest_says_what_the_file_is_of(exported: Callable[..., EncoderRef], trained: LoadedCheckpoint) -> None:
    manifest = open_encoder_file(exported()).manifest
    assert (manifest.runtime, manifest.dtype, manifest.model_id) == ("onnxruntime", "fp32", str(ASR))
    assert manifest.weights == encoder_checksum(trained.source)
    assert (manifest.sizes.bands, manifest.sizes.d_model, manifest.sizes.window_tokens) == (128, 128, 104)


def test_both_layouts_of_a_checkpoint_have_the_same_encoder(checkpoints: Path) -> None:
    native, original = (load(checkpoints / name).source for name in ("recogniser", "recogniser-original"))
    assert encoder_checksum(native) == encoder_checksum(original)
    assert encoder_checksum(native) != encoder_checksum(load(ASR).source)


def heard(encoder: EncoderRef | None, quantize: str = "none") -> list[str]:
    """What the backend makes of the clips: as recordings, and as the steps of a live utterance."""
    backend = QwenBackend(replace(on_cpu(ASR), quantize=quantize), EngineOptions(slots=8, encoder=encoder))
    backend.load(silent)
    runtime = backend.encoder()
    said = [clip for clip in clips().values() if "talk" not in clip.name]
    works = [Recognize(clip.audio) for clip in said]
    outcomes = outcomes_of(backend, works)
    texts = [outcomes[work].text for work in works]
    live = clips()["talk"].audio[:192_000]
    for end in range(16_000, len(live) + 1, 16_000):
        work = Recognize(live[:end], utterance="u", final=end == len(live))
        texts.append(outcomes_of(backend, [work])[work].text)
    assert backend.encoder() == runtime == ("torch" if encoder is None else "onnxruntime")
    backend.unload()
    assert backend.encoder() is None
    return texts


def test_the_backend_hears_the_same_with_onnx_runtime(exported: Callable[..., EncoderRef]) -> None:
    assert heard(exported()) == heard(None)


def test_int8_encoders_hear_the_words(exported: Callable[..., EncoderRef]) -> None:
    said = [clip.text for clip in clips().values() if "talk" not in clip.name]
    assert word_error_rate(said, heard(exported(dtype="int8"))[: len(said)]) <= 0.05


def test_what_an_encoder_fails_at_torch_does_and_says_so_once(
    exported: Callable[..., EncoderRef], trained: LoadedCheckpoint, warnings: list[str]
) -> None:
    encoder = audio_encoder_of(trained, checked_encoder_file(trained, exported()), CudaStream(CPU))
    mel, windows = inputs(trained, 2)
    assert encoder.runtime == "onnxruntime"
    wrong = torch.zeros(1, 7, 100)
    with pytest.raises(RuntimeError):  # torch cannot do this either
        encoder.convolve(wrong)
    assert encoder.runtime == "torch"
    reference = torch_encoder_of(trained)
    assert torch.equal(encoder.convolve(mel), reference.convolve(mel))
    assert torch.equal(encoder.attend(windows)[0], reference.attend(windows)[0])
    assert len(warnings) == 1
    assert warnings[0].startswith("ONNX_ENCODER_PATH: onnxruntime failed, and torch encodes from now on: ")


def test_attention_that_fails_falls_back_too(trained: LoadedCheckpoint, warnings: list[str]) -> None:
    class Failing:
        runtime = "onnxruntime"

        def convolve(self, mel: torch.Tensor) -> torch.Tensor:
            return mel

        def attend(self, windows: Any) -> Any:
            raise MemoryError("no memory")

    reference = torch_encoder_of(trained)
    encoder = FallbackEncoder(Failing(), reference, "ONNX_ENCODER_PATH")
    _, windows = inputs(trained, 2)
    assert torch.equal(encoder.attend(windows)[1], reference.attend(windows)[1])
    assert "MemoryError: no memory" in warnings[0]
    assert (encoder.has_failed, encoder.runtime) == (True, "torch")


# files that do not fit


def test_a_file_of_another_checkpoint_is_refused(
    exported: Callable[..., EncoderRef], trained: LoadedCheckpoint
) -> None:
    wrong = "0" * 64
    with pytest.raises(ModelLoadError, match=r"whose weights are not .*tiny-asr's; export it again: steno export"):
        checked_encoder_file(trained, rewritten(exported(), exported().path.with_name("other.zip"), weights=wrong))


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


# TensorRT, whose engines need a GPU


def test_tensorrt_is_refused_by_name_without_the_package_and_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=r"--tensorrt needs TensorRT: pip install 'steno\[tensorrt\]'"):
        export_encoder(on_cpu(ASR), None, tmp_path / "x.zip", "fp16", silent)
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", ModuleType("tensorrt"))
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
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", trt)
    sizes = open_encoder_sizes()
    shapes = tensorrt_build.profiles(sizes)["attention"]
    assert tensorrt_build.build_engine(b"onnx", shapes) == b"engine"
    assert (asked["flags"], asked["model"], asked["profile"]) == (2, b"onnx", profile)
    assert asked["hidden"] == ((1, 104, 896), (8, 104, 896), (32, 104, 896))
    assert asked["lengths"] == ((1,), (8,), (32,))


def open_encoder_sizes() -> Any:
    from steno.backends.qwen.encoders.encoder_file import EncoderSizes

    return EncoderSizes(bands=128, d_model=896, hidden=1024, layers=18, window_tokens=104)


def test_the_attention_of_an_engine_has_windows_of_8_s(trained: LoadedCheckpoint) -> None:
    from steno.backends.qwen.encoders.encoder_export import onnx_parts

    for dtype, tolerance in (("fp32", TOLERANCE["fp32"]), ("fp16", None)):
        parts = onnx_parts(trained, dtype, 104)  # type: ignore[arg-type]
        model = onnx.load_model_from_string(parts["attention"])
        assert [dim.dim_value or dim.dim_param for dim in model.graph.input[0].type.tensor_type.shape.dim] == [
            "windows", 104, 128,
        ]  # fmt: skip
        assert tolerance is None or "Range" not in {node.op_type for node in model.graph.node}


def test_an_export_that_differs_from_torch_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOLERANCE, "fp32", 1e-9)
    path = tmp_path / "x.zip"
    path.write_bytes(b"what was there")
    with pytest.raises(ModelLoadError, match="not written: the exported encoder differs from torch's by"):
        export_encoder(on_cpu(ASR), path, None, "fp32", silent)
    assert path.read_bytes() == b"what was there"
    assert [file.name for file in tmp_path.iterdir()] == ["x.zip"]


def test_an_interrupted_export_leaves_what_was_there(exported: Callable[..., EncoderRef], tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"what was there")
    manifest = open_encoder_file(exported()).manifest

    class Interrupting(dict[Any, Any]):
        def items(self) -> Any:
            yield "convolution", b"half"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_encoder_file(path, manifest, Interrupting())
    assert path.read_bytes() == b"what was there"
    assert [file.name for file in tmp_path.iterdir()] == ["x.zip"]
