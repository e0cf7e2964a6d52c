"""Makes `vad/data/silero_vad_16k.onnx` from upstream's export: the same weights in a graph that is cheap on a CPU.

    PYTHONPATH=tests python -m vad.silero_graph

Upstream's convolutions have 4, 2 or 1 output positions for each frame. ONNX Runtime multiplies matrices for each frame
by itself, and uses a quarter of its vector registers or less. Here all frames of a call are rows of one matrix.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import steno.vad.silero

UPSTREAM = Path(__file__).parent / "silero_vad_16k_sequence.onnx"
SHIPPED = Path(steno.vad.silero.__file__).parent / "data" / "silero_vad_16k.onnx"
OPSET, IR_VERSION = 17, 8
"""The oldest that have what is needed: ONNX Runtime 1.20 runs them."""

INPUT, HOP, BINS, CHANNELS, STATE = 576, 128, 129, 128, 128


class Graph:
    """Nodes and constants, in the order in which they are added; a name stands for a tensor."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, values: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def integers(self, name: str, *values: int) -> str:
        return self.constant(name, np.array(values, np.int64))

    def add(self, kind: str, *inputs: str, to: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, to.split(), name=to.split()[0], **attributes))
        return to

    def rows(self, values: str, to: str, start: int, end: int, step: int = 1) -> str:
        """`values[:, start:end:step]`."""
        bounds = [
            self.integers(f"{to}/{name}", n)
            for name, n in (("start", start), ("end", end), ("axis", 1), ("step", step))
        ]
        return self.add("Slice", values, *bounds, to=to)

    def dense(self, values: str, to: str, weight: NDArray[Any], bias: NDArray[Any]) -> str:
        """`values @ weight + bias`, shapes [..., inputs], [inputs, outputs], [outputs]."""
        product = self.add("MatMul", values, self.constant(f"{to}/weight", weight), to=f"{to}/product")
        return self.add("Add", product, self.constant(f"{to}/bias", bias), to=to)


def batched(upstream: onnx.ModelProto) -> onnx.ModelProto:
    """The model for `input` [frames, streams, 576], `h` and `c` [1, streams, 128]."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in upstream.graph.initializer}
    graph = Graph()
    _add_spectrum(graph, weights["stft.forward_basis_buffer"])
    _add_encoder(graph, weights)
    _add_decoder(graph, weights)
    tensor = helper.make_tensor_value_info
    state = [1, "streams", STATE]
    made = helper.make_graph(
        graph.nodes,
        "silero_vad_16k",
        [tensor("input", TensorProto.FLOAT, ["frames", "streams", INPUT])]
        + [tensor(name, TensorProto.FLOAT, state) for name in ("h", "c")],
        [tensor("speech_probs", TensorProto.FLOAT, ["frames", "streams"])]
        + [tensor(name, TensorProto.FLOAT, state) for name in ("hn", "cn")],
        graph.constants,
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(made, opset_imports=opset, ir_version=IR_VERSION, producer_name="steno")
    onnx.checker.check_model(model, full_check=True)
    return model


def _add_spectrum(graph: Graph, basis: NDArray[Any]) -> None:
    """`magnitude` [frames · streams, 4, 129]: of four windows of 256 samples, each 128 after the one before."""
    graph.add("Reshape", "input", graph.integers("frame_shape", -1, INPUT), to="samples")
    graph.add("Pad", "samples", graph.integers("reflected", 0, 0, 0, HOP // 2), to="padded", mode="reflect")
    graph.add("Reshape", "padded", graph.integers("hop_shape", -1, 5, HOP), to="hops")
    halves = graph.rows("hops", "first_half", 0, 4), graph.rows("hops", "second_half", 1, 5)
    graph.add("Concat", *halves, to="windows", axis=2)
    graph.add("MatMul", "windows", graph.constant("stft/basis", basis[:, 0].T), to="spectrum")
    graph.add("Split", "spectrum", graph.integers("parts", BINS, BINS), to="real imaginary", axis=2)
    graph.add("Mul", "real", "real", to="real²")
    graph.add("Mul", "imaginary", "imaginary", to="imaginary²")
    graph.add("Add", "real²", "imaginary²", to="power")
    graph.add("Sqrt", "power", to="magnitude")


def _add_encoder(graph: Graph, weights: dict[str, NDArray[Any]]) -> None:
    """`encoded` [frames · streams, 128]: four convolutions of three taps, with 4, 2, 1 and 1 output positions."""

    def layer(n: int, values: str, taps: slice) -> str:
        weight = weights[f"encoder.{n}.weight"]  # [outputs, inputs, 3]
        flat = weight.transpose(2, 1, 0)[taps].reshape(-1, len(weight))
        return graph.add("Relu", graph.dense(values, f"conv{n}", flat, weights[f"encoder.{n}.bias"]), to=f"relu{n}")

    all_taps = slice(0, 3)
    graph.add("Pad", "magnitude", graph.integers("around", 0, 1, 0, 0, 1, 0), to="surrounded")
    taps = [graph.rows("surrounded", f"conv0/tap{n}", n, n + 4) for n in range(3)]
    relu = layer(0, graph.add("Concat", *taps, to="conv0/taps", axis=2), all_taps)
    graph.add("Pad", relu, graph.integers("before", 0, 1, 0, 0, 0, 0), to="preceded")
    taps = [graph.rows("preceded", f"conv1/tap{n}", n, n + 3, 2) for n in range(3)]
    relu = layer(1, graph.add("Concat", *taps, to="conv1/taps", axis=2), all_taps)
    # The taps that are left out lie on padding.
    pair = graph.add("Reshape", relu, graph.integers("pair_shape", -1, CHANNELS), to="conv2/taps")
    layer(3, layer(2, pair, slice(1, 3)), slice(1, 2))


def _add_decoder(graph: Graph, weights: dict[str, NDArray[Any]]) -> None:
    graph.add("Shape", "input", to="frames_streams", end=2)
    graph.add("Concat", "frames_streams", graph.integers("channels", CHANNELS), to="sequence_shape", axis=0)
    graph.add("Reshape", "relu3", "sequence_shape", to="sequence")
    lstm = [graph.constant(f"lstm/{n}", weights[f"onnx::LSTM_{209 + n}"]) for n in range(3)]
    graph.add("LSTM", "sequence", *lstm, "", "h", "c", to="hidden hn cn", hidden_size=STATE)
    graph.add("Squeeze", "hidden", graph.integers("direction", 1), to="states")
    graph.add("Relu", "states", to="active_states")
    graph.dense("active_states", "logits", weights["output.weight"][0], weights["output.bias"])
    graph.add("Sigmoid", "logits", to="probabilities")
    graph.add("Squeeze", "probabilities", graph.integers("last", 2), to="speech_probs")


def main() -> None:
    onnx.save(batched(onnx.load(UPSTREAM)), SHIPPED)


if __name__ == "__main__":
    main()
