"""Speaker embeddings from other people's ONNX files: what is taken, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from steno.errors import ModelLoadError, SettingsError
from steno.speakers.embedder_choice import check_speaker_model, load_embedder
from steno.speakers.filter_banks import filter_banks
from steno.speakers.onnx_embedder import OnnxEmbedder


def model_file(path: Path, shape: list[int | str], kind: int = TensorProto.FLOAT) -> Path:
    """A network that gives the mean over all but the first and last dimension, or the first 16 samples."""
    if len(shape) == 3:
        nodes = [helper.make_node("ReduceMax", ["x"], ["y"], axes=[1], keepdims=0)]
        size = shape[2]
    else:
        constants = [
            helper.make_tensor(name, TensorProto.INT64, [1], [value])
            for name, value in (("from", 0), ("to", 16), ("axis", 1))
        ]
        nodes = [
            *(helper.make_node("Constant", [], [each.name], value=each) for each in constants),
            helper.make_node("Slice", ["x", "from", "to", "axis"], ["y"]),
        ]
        size = 16
    graph = helper.make_graph(
        nodes,
        "speaker",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, ["n", size])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


WINDOWS = np.random.default_rng(5).normal(0, 0.1, (3, 24_000)).astype(np.float32)


def test_a_network_on_samples_is_used_and_its_vectors_are_normalised(tmp_path: Path) -> None:
    embedder = OnnxEmbedder(model_file(tmp_path / "raw.onnx", ["n", "samples"]))
    expected = WINDOWS[:, :16] / np.linalg.norm(WINDOWS[:, :16], axis=1, keepdims=True)
    assert embedder.dimension == 16
    np.testing.assert_allclose(embedder.embed(WINDOWS), expected, rtol=1e-5)


def test_a_network_on_filter_banks_is_used(tmp_path: Path) -> None:
    embedder = OnnxEmbedder(model_file(tmp_path / "fbank.onnx", ["n", "frames", 80]))
    expected = filter_banks(WINDOWS * 32768).max(axis=1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder.embed(WINDOWS), expected, rtol=1e-4)


@pytest.mark.parametrize("shape", [["n", "frames", 40], ["n", 1, 80, "frames"]])
def test_other_inputs_are_refused_by_name(tmp_path: Path, shape: list[int | str]) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["feats"], ["y"])],
        "speaker",
        [helper.make_tensor_value_info("feats", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    path = tmp_path / "other.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    with pytest.raises(ModelLoadError, match="takes feats tensor"):
        OnnxEmbedder(path)


def test_a_network_that_takes_other_lengths_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"short\.onnx cannot be run on a second of audio"):
        OnnxEmbedder(model_file(tmp_path / "short.onnx", ["n", 100]))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ModelLoadError, match=r"text\.onnx cannot be loaded") as refused:
        load_embedder(str(tmp_path / "text.onnx"))
    assert str(tmp_path) not in refused.value.message
    with pytest.raises(SettingsError, match="is no file"):
        check_speaker_model(str(tmp_path / "missing.onnx"))


def test_pyannote_without_its_package_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"pip install 'steno\[pyannote\]'"):
        check_speaker_model("pyannote/speaker-diarization-community-1")


def test_filter_banks_are_kaldis() -> None:
    """Written out with torch as `torchaudio.compliance.kaldi.fbank` does it, frame by frame."""
    samples = torch.from_numpy(WINDOWS[0]).double() * 32768
    frames = samples.unfold(0, 400, 160)
    frames = frames - frames.mean(dim=1, keepdim=True)
    offset = torch.nn.functional.pad(frames[:, None], (1, 0), mode="replicate")[:, 0]
    frames = (frames - 0.97 * offset[:, :-1]) * torch.hamming_window(400, periodic=False, dtype=torch.float64)
    power = torch.fft.rfft(frames, 512).abs() ** 2

    def mel(hz: torch.Tensor) -> torch.Tensor:
        return 1127.0 * torch.log(1 + hz / 700.0)

    low, high = mel(torch.tensor(20.0)).item(), mel(torch.tensor(8000.0)).item()
    delta = (high - low) / 81
    bins = mel(16_000 / 512 * torch.arange(256))
    banks = []
    for n in range(80):
        left, centre, right = low + n * delta, low + (n + 1) * delta, low + (n + 2) * delta
        weight = torch.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)).clamp(min=0)
        banks.append((power[:, :256] * weight).sum(dim=1))
    expected = torch.stack(banks, dim=1).clamp(min=1.1920929e-07).log()
    expected = expected - expected.mean(dim=0, keepdim=True)
    np.testing.assert_allclose(filter_banks(WINDOWS[:1] * 32768)[0], expected.numpy(), atol=2e-3)
