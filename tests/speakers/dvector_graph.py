"""Makes `speakers/data/dvector.onnx` and its reference embeddings from Resemblyzer's weights.

    pip download --no-deps Resemblyzer==0.1.4
    PYTHONPATH=tests python -m speakers.dvector_graph Resemblyzer-0.1.4-py3-none-any.whl

The reference is Resemblyzer's own network in torch on librosa's mel spectrogram (`pip install librosa`), of windows of$
recordings in `tests/fixtures`; `test_dvector.py` compares the shipped model and its features with it.
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import steno.speakers.dvector
from steno.audio.decode import decode

WEIGHTS = "resemblyzer/pretrained.pt"
WEIGHTS_SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
SHIPPED = Path(steno.speakers.dvector.__file__).parent / "data" / "dvector.onnx"
REFERENCE = Path(__file__).parent / "dvector_reference.npz"
RECORDINGS = {name: Path(__file__).parent.parent / "fixtures" / f"{name}.flac" for name in ("letter", "meeting")}
OPSET, IR_VERSION = 17, 8
"""The oldest that have what is needed: ONNX Runtime 1.20 runs them."""

BANDS, HIDDEN, LAYERS, FRAMES = 40, 256, 3, 160
RATE, FFT, HOP = 16_000, 400, 160


def graph_of(state: Mapping[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """The network for `mel` [windows, frames, 40]; gives `embedding` [windows, 256], of length 1.

    Weights are stored in half precision, which changes no embedding by more than 1e-3 and halves the file.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def add(kind: str, *inputs: str, to: str, **attributes: Any) -> None:
        nodes.append(helper.make_node(kind, inputs, to.split(), name=to.split()[0], **attributes))

    def weight(name: str, values: NDArray[np.float32]) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float16), f"{name}/half"))
        nodes.append(helper.make_node("Cast", [f"{name}/half"], [name], name=name, to=TensorProto.FLOAT))
        return name

    add("Transpose", "mel", to="sequence0", perm=[1, 0, 2])
    constants.append(numpy_helper.from_array(np.array([1], np.int64), "direction"))
    for n in range(LAYERS):
        inputs = [
            weight(f"lstm{n}/w", _gates(state[f"lstm.weight_ih_l{n}"])[None]),
            weight(f"lstm{n}/r", _gates(state[f"lstm.weight_hh_l{n}"])[None]),
            weight(
                f"lstm{n}/b", np.concatenate([_gates(state[f"lstm.bias_{kind}_l{n}"]) for kind in ("ih", "hh")])[None]
            ),
        ]
        add("LSTM", f"sequence{n}", *inputs, to=f"outputs{n} last{n}", hidden_size=HIDDEN)
        add("Squeeze", f"outputs{n}", "direction", to=f"sequence{n + 1}")
    constants.append(numpy_helper.from_array(np.array([0], np.int64), "layer"))
    add("Squeeze", f"last{LAYERS - 1}", "layer", to="state")
    add("MatMul", "state", weight("linear/w", state["linear.weight"].T), to="product")
    add("Add", "product", weight("linear/b", state["linear.bias"]), to="linear")
    add("Relu", "linear", to="raw")
    add("LpNormalization", "raw", to="embedding", axis=1, p=2)
    made = helper.make_graph(
        nodes,
        "dvector",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["windows", "frames", BANDS])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["windows", HIDDEN])],
        constants,
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(made, opset_imports=opset, ir_version=IR_VERSION, producer_name="steno")
    onnx.checker.check_model(model, full_check=True)
    return model


def _gates(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """torch orders the gates input, forget, cell, output; ONNX input, output, forget, cell."""
    part_i, part_f, part_g, part_o = np.split(values, 4)
    return np.concatenate([part_i, part_o, part_f, part_g])


class Upstream(torch.nn.Module):
    """Resemblyzer's `VoiceEncoder`."""

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(BANDS, HIDDEN, LAYERS, batch_first=True)
        self.linear = torch.nn.Linear(HIDDEN, HIDDEN)
        self.load_state_dict(dict(state), strict=False)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        _, (hidden, _) = self.lstm(mels)
        raw = torch.relu(self.linear(hidden[-1]))
        return raw / torch.norm(raw, dim=1, keepdim=True)


def windows_of(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Windows of 1.6 s, 0.8 s apart, shape [windows, samples]."""
    return np.lib.stride_tricks.sliding_window_view(audio, FRAMES * HOP)[:: FRAMES * HOP // 2]


def reference(name: str, upstream: Upstream) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mel spectrogram of the first window, and the embeddings of all."""
    import librosa

    audio = np.concatenate(list(decode(RECORDINGS[name], max_seconds=None)))
    mels = [
        librosa.feature.melspectrogram(y=window, sr=RATE, n_fft=FFT, hop_length=HOP, n_mels=BANDS).T
        for window in windows_of(audio)
    ]
    with torch.no_grad():
        return np.float32(mels[0]), upstream(torch.from_numpy(np.float32(mels))).numpy()


def main(wheel: str) -> None:
    data = zipfile.ZipFile(wheel).read(WEIGHTS)
    if (digest := hashlib.sha256(data).hexdigest()) != WEIGHTS_SHA256:
        raise SystemExit(f"{WEIGHTS} has the sha256 {digest}")
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)["model_state"]
    SHIPPED.parent.mkdir(exist_ok=True)
    onnx.save(graph_of({name: values.numpy() for name, values in state.items()}), SHIPPED)
    kept: dict[str, NDArray[np.float32]] = {}
    for name in RECORDINGS:
        kept[f"{name}_mel"], kept[f"{name}_embeddings"] = reference(name, Upstream(state))
    np.savez_compressed(REFERENCE, **kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
