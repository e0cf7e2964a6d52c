"""Encoders on ONNX Runtime compute what torch computes; how they are exported, and what happens when they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")
pytest.importorskip("onnx", reason="exporting needs it: pip install 'steno[export]'")

import onnx
import torch
from loguru import logger

from exported_encoders import inputs, load, on_cpu, silent
from steno.backends.base import Recognize
from steno.backends.qwen.backend import QwenBackend
from steno.backends.qwen.checkpoint.encoder_checksum import encoder_checksum
from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint
from steno.backends.qwen.encoders.encoder_choice import audio_encoder_of, checked_encoder_file, relative_rms
from steno.backends.qwen.encoders.encoder_export import TOLERANCE, export_encoder
from steno.backends.qwen.encoders.encoder_file import (
    EncoderDtype,
    EncoderRef,
    open_encoder_file,
    write_encoder_file,
)
from steno.backends.qwen.encoders.fallback_encoder import FallbackEncoder
from steno.backends.qwen.encoders.onnx_encoder import OnnxEncoder
from steno.backends.qwen.engine_options import EngineOptions
from steno.backends.qwen.model.cuda.cuda_stream import CudaStream
from steno.backends.qwen.model.torch_encoder import torch_encoder_of
from steno.errors import ModelLoadError
from stepping import outcomes_of
from tiny.clips import ASR, clips, word_error_rate

CPU = torch.device("cpu")


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    yield lines
    logger.remove(sink)


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
    runs = backend.accelerations()
    assert runs is not None
    runtime = runs.encoder
    said = [clip for clip in clips().values() if "talk" not in clip.name]
    works = [Recognize(clip.audio) for clip in said]
    outcomes = outcomes_of(backend, works)
    texts = [outcomes[work].text for work in works]
    live = clips()["talk"].audio[:192_000]
    for end in range(16_000, len(live) + 1, 16_000):
        work = Recognize(live[:end], utterance="u", final=end == len(live))
        texts.append(outcomes_of(backend, [work])[work].text)
    assert backend.accelerations() == runs, "nothing has failed"
    assert runtime == ("torch" if encoder is None else "onnxruntime")
    assert runs.precision == ("float32" if quantize == "none" else "int8")
    backend.unload()
    assert backend.accelerations() is None
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
