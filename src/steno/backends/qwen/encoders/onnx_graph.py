"""The encoder as two ONNX models, built from its weights: the convolutions of chunks, and attention over windows.

Built node by node, of operators that every runtime has (opset 20), so that the graph does not depend on a version of
torch and its exporter. The computation is `TorchEncoder`'s; `encoder_export` compares both before it writes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from steno.backends.qwen.encoders.encoder_file import EncoderDtype
from steno.errors import SettingsError

OPSET = 20
"""Fixed: the first with `Gelu`, and the newest that TensorRT 10 reads."""
IR_VERSION = 10
NUMPY_DTYPES: dict[EncoderDtype, Any] = {"fp32": np.float32, "fp16": np.float16, "int8": np.float32}
"""Of activations; in int8 between the products."""
FP16_LIMIT = 64_504.0
"""Largest activation in fp16, as in `TorchEncoder`: its maximum less 1000."""
INT8_LIMIT, INT8_ZERO = 127, 128
LEAST_ACTIVATION = 1e-30
"""In place of zero in a token whose activations are all zero."""
EPSILON = 1e-5
"""Of the layer norms; torch's default."""
MAX_MODEL_BYTES = 2_000_000_000
"""A protobuf message has less than 2 GiB. The encoder of the 1.7B has 1.27 GB in fp32."""

MEL, CONVOLVED = "mel", "convolved"
HIDDEN, LENGTHS, EMBEDDINGS = "hidden", "lengths", "embeddings"
"""Names of inputs and outputs."""


class GraphBuilder:
    """Nodes and weights of one model.

    Args:
        weights: the encoder's, by their names in transformers' modules, float32.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], dtype: EncoderDtype) -> None:
        self._weights = weights
        self._is_int8 = dtype == "int8"
        self._dtype = NUMPY_DTYPES[dtype]
        self.element_type = helper.np_dtype_to_tensor_dtype(np.dtype(self._dtype))
        self._nodes: list[onnx.NodeProto] = []
        self._quantized_inputs: dict[str, tuple[str, str]] = {}
        self._constants: dict[str, onnx.TensorProto] = {}

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node; returns the name of its output."""
        output = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        """A tensor of the graph; floats get its dtype."""
        if value.dtype.kind == "f":
            value = value.astype(self._dtype)
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def number(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        return self.constant(f"integers_{'_'.join(map(str, values))}", np.array(values, np.int64))

    def weight(self, name: str, scale: float = 1.0) -> str:
        value = self._weights[name]
        return self.constant(name, value if scale == 1.0 else value * np.float32(scale))

    def linear(self, x: str, name: str, scale: float = 1.0) -> str:
        """`x` times the layer's weights, plus its bias if it has one; all times `scale`."""
        weight = self._weights[f"{name}.weight"]
        weight = weight if scale == 1.0 else weight * np.float32(scale)
        if self._is_int8:
            x = self._int8_product(x, f"{name}.weight", weight)
        else:
            x = self.node("MatMul", x, self.constant(f"{name}.weight", weight.T))
        return self.node("Add", x, self.weight(f"{name}.bias", scale)) if f"{name}.bias" in self._weights else x

    def _int8_product(self, x: str, name: str, weight: np.ndarray) -> str:
        """`x` times `weight` [outputs, inputs], both in 8 bits: a scale for each token and one for each output.

        No token depends on what else is in the batch, as it would with `DynamicQuantizeLinear`, which has one scale.
        Activations are unsigned, with 128 as zero: what processors multiply fastest.
        """
        scales = np.maximum(np.abs(weight).max(axis=1), np.finfo(np.float32).tiny) / INT8_LIMIT
        rounded = np.rint(weight / scales[:, None]).clip(-INT8_LIMIT, INT8_LIMIT).astype(np.int8)
        tokens, token_scales = self._quantized(x)
        middle = self.constant("int8_zero", np.array(INT8_ZERO, np.uint8))
        products = self.node("MatMulInteger", tokens, self.constant(f"{name}.int8", rounded.T), middle)
        products = self.node("Cast", products, to=TensorProto.FLOAT)
        return self.node("Mul", self.node("Mul", products, token_scales), self.constant(f"{name}.scales", scales))

    def _quantized(self, x: str) -> tuple[str, str]:
        """The tokens of `x` as uint8, and their scales. Layers that read the same input share them."""
        if x not in self._quantized_inputs:
            largest = self.node("ReduceMax", self.node("Abs", x), self.integers(-1), keepdims=1)
            largest = self.node("Max", largest, self.number("int8_least", LEAST_ACTIVATION))
            scales = self.node("Div", largest, self.number("int8_limit", INT8_LIMIT))
            shifted = self.node("Add", self.node("Div", x, scales), self.number("int8_middle", INT8_ZERO))
            tokens = self.node("Cast", self.node("Round", shifted), to=TensorProto.UINT8)
            self._quantized_inputs[x] = tokens, scales
        return self._quantized_inputs[x]

    def norm(self, x: str, name: str, epsilon: float) -> str:
        weight, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.node("LayerNormalization", x, weight, bias, axis=-1, epsilon=epsilon)

    def convolution(self, x: str, name: str) -> str:
        weight, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        shape = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
        return self.node("Gelu", self.node("Conv", x, weight, bias, **shape))

    def model(self, inputs: Mapping[str, tuple[int, list[Any]]], output: str, name: str, shape: list[Any]) -> bytes:
        """The serialised model, with `output` under `name`.

        Raises:
            SettingsError: it is too large for a protobuf message.
        """
        self._nodes.append(helper.make_node("Identity", [output], [name], name=name))
        graph = helper.make_graph(
            self._nodes,
            "steno",
            [helper.make_tensor_value_info(each, *value) for each, value in inputs.items()],
            [helper.make_tensor_value_info(name, self.element_type, shape)],
            list(self._constants.values()),
        )
        opset = [helper.make_opsetid("", OPSET)]
        made = helper.make_model(graph, opset_imports=opset, producer_name="steno", ir_version=IR_VERSION)
        size = made.ByteSize()
        if size > MAX_MODEL_BYTES:
            raise SettingsError(
                f"the encoder has {size / 1e9:.1f} GB, more than an ONNX file can hold; use --dtype fp16"
            )
        return made.SerializeToString()


def convolution_model(weights: Mapping[str, np.ndarray], config: Any, dtype: EncoderDtype) -> bytes:
    """`mel` [chunks, bands, 100] → `convolved` [chunks, 13, d_model].

    Args:
        weights: of `audio_tower` and `multi_modal_projector`, with these prefixes, and `positions` [13, d_model].
        config: the audio tower's.
    """
    graph = GraphBuilder(weights, dtype)
    x = graph.node("Unsqueeze", MEL, graph.integers(1))
    for name in ("conv2d1", "conv2d2", "conv2d3"):
        x = graph.convolution(x, f"audio_tower.{name}")
    x = graph.node("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.node("Reshape", x, graph.integers(0, 0, -1))
    x = graph.linear(x, "audio_tower.conv_out")
    x = graph.node("Add", x, graph.weight("positions"))
    frames, tokens = 2 * config.n_window, len(weights["positions"])
    mel = (graph.element_type, ["chunks", config.num_mel_bins, frames])
    return graph.model({MEL: mel}, x, CONVOLVED, ["chunks", tokens, config.d_model])


def attention_model(
    weights: Mapping[str, np.ndarray], config: Any, dtype: EncoderDtype, tokens: int | None = None
) -> bytes:
    """`hidden` [windows, tokens, d_model] and `lengths` [windows], int64 → `embeddings` [windows, tokens, hidden].

    What follows a window's length is padding: nothing attends to it, and its outputs mean nothing.

    Args:
        tokens: all windows are padded to so many; None = any number.
    """
    graph = GraphBuilder(weights, dtype)
    width = "tokens" if tokens is None else tokens
    mask = _padding_mask(graph, dtype, tokens)
    x = HIDDEN
    for number in range(config.encoder_layers):
        x = _layer(graph, x, mask, f"audio_tower.layers.{number}", config.encoder_attention_heads, config.d_model)
        if dtype == "fp16":
            x = graph.node("Clip", x, graph.number("lowest", -FP16_LIMIT), graph.number("highest", FP16_LIMIT))
    x = graph.norm(x, "audio_tower.ln_post", EPSILON)
    x = graph.node("Gelu", graph.linear(x, "multi_modal_projector.linear_1"))
    x = graph.linear(x, "multi_modal_projector.linear_2")
    hidden = (graph.element_type, ["windows", width, config.d_model])
    inputs = {HIDDEN: hidden, LENGTHS: (TensorProto.INT64, ["windows"])}
    return graph.model(inputs, x, EMBEDDINGS, ["windows", width, config.output_dim])


def _padding_mask(graph: GraphBuilder, dtype: EncoderDtype, tokens: int | None) -> str:
    """What is added to scores, [windows, 1, 1, tokens]: the lowest number where there is padding."""
    if tokens is None:
        width = graph.node("Squeeze", graph.node("Shape", HIDDEN, start=1, end=2), graph.integers(0))
        zero, one = (graph.constant(f"integer_{value}", np.array(value, np.int64)) for value in (0, 1))
        positions = graph.node("Range", zero, width, one)
    else:
        positions = graph.constant("token_numbers", np.arange(tokens, dtype=np.int64))
    ends = graph.node("Unsqueeze", LENGTHS, graph.integers(1, 2, 3))
    lowest = float(np.finfo(NUMPY_DTYPES[dtype]).min)
    is_token = graph.node("Less", positions, ends)
    return graph.node("Where", is_token, graph.number("unmasked", 0), graph.number("masked", lowest))


def _layer(graph: GraphBuilder, hidden: str, mask: str, name: str, heads: int, d_model: int) -> str:
    attention = f"{name}.self_attn"
    head_dim = d_model // heads
    split = graph.integers(0, 0, heads, head_dim)
    x = graph.norm(hidden, f"{name}.self_attn_layer_norm", EPSILON)
    query = graph.node("Reshape", graph.linear(x, f"{attention}.q_proj", head_dim**-0.5), split)
    key = graph.node("Reshape", graph.linear(x, f"{attention}.k_proj"), split)
    value = graph.node("Reshape", graph.linear(x, f"{attention}.v_proj"), split)
    scores = graph.node(
        "MatMul",
        graph.node("Transpose", query, perm=[0, 2, 1, 3]),
        graph.node("Transpose", key, perm=[0, 2, 3, 1]),
    )
    weights = graph.node("Softmax", graph.node("Add", scores, mask), axis=-1)
    x = graph.node("MatMul", weights, graph.node("Transpose", value, perm=[0, 2, 1, 3]))
    x = graph.node("Reshape", graph.node("Transpose", x, perm=[0, 2, 1, 3]), graph.integers(0, 0, d_model))
    hidden = graph.node("Add", hidden, graph.linear(x, f"{attention}.out_proj"))
    x = graph.norm(hidden, f"{name}.final_layer_norm", EPSILON)
    x = graph.node("Gelu", graph.linear(x, f"{name}.fc1"))
    return graph.node("Add", hidden, graph.linear(x, f"{name}.fc2"))
