"""The encoder on ONNX Runtime: on a CPU, or on an NVIDIA GPU without a copy through the host."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from loguru import logger

from steno.backends.qwen.encoders.encoder_file import EncoderFile, Part
from steno.backends.qwen.model.audio_encoder import padded
from steno.errors import ModelLoadError, SettingsError

if TYPE_CHECKING:
    import onnxruntime as ort

TORCH_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "int8": torch.float32}
"""Dtype of a file's inputs and outputs."""
QUIET = 3
"""ONNX Runtime's log level: errors."""


class OnnxEncoder:
    """An `AudioEncoder` over the two models of a file.

    Args:
        file: of the same checkpoint; `encoder_choice` has checked it.
        device: of the model.
        dtype: of the model; the outputs have it.
        stream: the CUDA stream that the encoder's calls run on; None on a CPU.

    Raises:
        SettingsError: this ONNX Runtime has no support for the device.
        ModelLoadError: a model is damaged.
    """

    runtime = "onnxruntime"

    def __init__(self, file: EncoderFile, device: torch.device, dtype: torch.dtype, stream: int | None = None) -> None:
        self._dtype = dtype
        self._width = file.manifest.sizes.window_tokens if device.type == "cuda" else 0
        of_file = TORCH_DTYPES[file.manifest.dtype]
        self._convolution = OnnxSession(file, "convolution", device, of_file, stream)
        self._attention = OnnxSession(file, "attention", device, of_file, stream)
        self._d_model, self._hidden = file.manifest.sizes.d_model, file.manifest.sizes.hidden

    def convolve(self, mel: torch.Tensor) -> torch.Tensor:
        """See `AudioEncoder`."""
        return self._convolution({"mel": mel}, (len(mel), -1, self._d_model)).to(self._dtype)

    def attend(self, windows: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """See `AudioEncoder`. On a GPU all windows are padded to 8 s, so that shapes differ in one axis only; on a CPU
        to the longest, as with torch."""
        hidden, lengths = padded(windows, self._width)
        rows = self._attention({"hidden": hidden, "lengths": lengths}, (*hidden.shape[:2], self._hidden))
        return [row[: len(window)] for row, window in zip(rows.to(self._dtype), windows, strict=True)]


class OnnxSession:
    """One model of a file, with torch tensors as inputs and output."""

    def __init__(
        self, file: EncoderFile, part: Part, device: torch.device, dtype: torch.dtype, stream: int | None
    ) -> None:
        import onnxruntime

        self._device, self._dtype = device, dtype
        self._run_options = onnxruntime.RunOptions()
        if stream is not None:  # the output is read on the same stream, so nothing has to wait for it
            self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self._session = _session(file, part, device, stream)
        self._output = self._session.get_outputs()[0].name
        self._tokens = self._session.get_outputs()[0].shape[1]

    def __call__(self, inputs: Mapping[str, torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
        """The output, of `shape`; -1 = as the model says."""
        cast = {
            name: tensor.to(self._device, self._dtype if tensor.is_floating_point() else None).contiguous()
            for name, tensor in inputs.items()
        }
        if self._device.type == "cpu":
            feeds = {name: tensor.numpy() for name, tensor in cast.items()}
            return torch.from_numpy(self._session.run([self._output], feeds, self._run_options)[0])
        return self._bound(cast, tuple(self._tokens if size == -1 else size for size in shape))

    def _bound(self, inputs: Mapping[str, torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
        """Run on the GPU, over the memory of `inputs` and of a new tensor."""
        binding = self._session.io_binding()
        index = self._device.index or 0
        for name, tensor in inputs.items():
            binding.bind_input(name, "cuda", index, _element(tensor), tuple(tensor.shape), tensor.data_ptr())
        output = torch.empty(shape, dtype=self._dtype, device=self._device)
        binding.bind_output(self._output, "cuda", index, _element(output), shape, output.data_ptr())
        self._session.run_with_iobinding(binding, self._run_options)
        return output


def _element(tensor: torch.Tensor) -> Any:
    import numpy as np

    return {torch.float32: np.float32, torch.float16: np.float16, torch.int64: np.int64}[tensor.dtype]


def _session(file: EncoderFile, part: Part, device: torch.device, stream: int | None) -> ort.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # shapes differ between calls
    options.log_severity_level = QUIET
    # Threads that spin between calls would take a core from the decoder, which runs next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights are packed while loading; in the arena, what they were packed from would stay.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    providers = providers_of(file, part, device, stream)
    try:
        session = onnxruntime.InferenceSession(file.part(part), options, providers=providers)
    except ModelLoadError:
        raise
    except Exception as error:
        logger.error("{}: the {} of {} cannot be loaded: {}", file.ref.variable, part, file.ref.path, error)
        raise ModelLoadError(
            f"{file.ref.variable}: {file.ref.path} cannot be loaded by ONNX Runtime {onnxruntime.__version__}; "
            "the log has the reason"
        ) from error
    # The session keeps the file's content, to start again on another provider; that is as much as the weights.
    session.disable_fallback()
    session._model_bytes = None
    wanted = providers[0][0]
    if wanted not in session.get_providers():
        raise ModelLoadError(f"{file.ref.variable}: ONNX Runtime cannot use {wanted} on {device}")
    return session


def providers_of(
    file: EncoderFile, part: Part, device: torch.device, stream: int | None
) -> list[tuple[str, dict[str, Any]]]:
    """In order of preference. On a GPU TensorRT's first, where it is installed.

    Raises SettingsError: this build of ONNX Runtime cannot use the device.
    """
    import onnxruntime

    cpu: tuple[str, dict[str, Any]] = ("CPUExecutionProvider", {})
    if device.type == "cpu":
        return [cpu]
    available = onnxruntime.get_available_providers()
    if "CUDAExecutionProvider" not in available:
        variable = file.ref.variable
        raise SettingsError(f"{variable} on {device}: pip install onnxruntime-gpu", param=variable)
    on_gpu = {"device_id": device.index or 0, "user_compute_stream": str(stream or 0)}
    cuda = ("CUDAExecutionProvider", {**on_gpu, "arena_extend_strategy": "kSameAsRequested"})
    if "TensorrtExecutionProvider" not in available or importlib.util.find_spec("tensorrt") is None:
        return [cuda, cpu]
    cache = file.ref.path.with_name(f"{file.ref.path.name}.{part}.engines")
    logger.info("{}: ONNX Runtime's TensorRT engines are in {}; building them takes minutes", file.ref.variable, cache)
    trt = {**on_gpu, "trt_engine_cache_enable": True, "trt_engine_cache_path": str(cache)}
    return [("TensorrtExecutionProvider", trt), cuda, cpu]
