"""The encoder as TensorRT engines, on the CUDA stream of the step. Has not run on a GPU yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from steno.backends.qwen.encoders.encoder_file import EncoderFile, EngineTarget, Part
from steno.backends.qwen.encoders.tensorrt_package import engine_logger, tensorrt_package
from steno.backends.qwen.model.audio_encoder import padded
from steno.errors import ModelLoadError


class TensorRtEncoder:
    """An `AudioEncoder` over the two engines of a file.

    Args:
        file: of the same checkpoint; `encoder_choice` has checked it.
        device: of the model, a CUDA device.
        dtype: of the model; the outputs have it.

    Raises:
        SettingsError: TensorRT is not installed.
        ModelLoadError: an engine was built for another GPU or version, or is damaged.
    """

    runtime = "tensorrt"

    def __init__(self, file: EncoderFile, device: torch.device, dtype: torch.dtype) -> None:
        trt = tensorrt_package(file.ref.variable)
        target = file.manifest.target
        if target is None:
            raise ModelLoadError(f"{file.ref.variable}: {file.ref.path} does not say what it was built for")
        check_target(file, target, trt.__version__, torch.cuda.get_device_name(device), _capability(device))
        sizes = file.manifest.sizes
        self._dtype = dtype
        self._of_file = torch.float16 if file.manifest.dtype == "fp16" else torch.float32
        self._target, self._sizes = target, sizes
        self._convolution = EngineContext(file, "convolution", device)
        self._attention = EngineContext(file, "attention", device)

    def convolve(self, mel: torch.Tensor) -> torch.Tensor:
        """See `AudioEncoder`."""
        outputs = [
            self._convolution({"mel": batch.to(self._of_file)}, "convolved", self._of_file)
            for batch in mel.split(self._target.max_chunks)
        ]
        return torch.cat(outputs).to(self._dtype)

    def attend(self, windows: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """See `AudioEncoder`. All windows are padded to 8 s."""
        hidden, lengths = padded(windows, self._sizes.window_tokens)
        size = self._target.max_windows
        outputs = [
            self._attention({"hidden": batch.to(self._of_file), "lengths": ends}, "embeddings", self._of_file)
            for batch, ends in zip(hidden.split(size), lengths.to(hidden.device).split(size), strict=True)
        ]
        rows = torch.cat(outputs).to(self._dtype)
        return [row[: len(window)] for row, window in zip(rows, windows, strict=True)]


class EngineContext:
    """One engine of a file, and the context that its calls run in, one at a time."""

    def __init__(self, file: EncoderFile, part: Part, device: torch.device) -> None:
        trt = tensorrt_package(file.ref.variable)
        self._device = device
        self._runtime = trt.Runtime(engine_logger(trt))  # must outlive the engine
        with torch.cuda.device(device):
            self._engine = self._runtime.deserialize_cuda_engine(file.part(part))
            self._context = self._engine.create_execution_context() if self._engine is not None else None
        if self._context is None:
            raise ModelLoadError(
                f"{file.ref.variable}: TensorRT {trt.__version__} cannot load the {part} of {file.ref.path}; "
                "the log has the reason"
            )

    def __call__(self, inputs: Mapping[str, torch.Tensor], output: str, dtype: torch.dtype) -> torch.Tensor:
        """Enqueue one call on the current CUDA stream. Raises RuntimeError: TensorRT refused it."""
        context: Any = self._context
        held = {name: tensor.contiguous() for name, tensor in inputs.items()}
        for name, tensor in held.items():
            if not context.set_input_shape(name, tuple(tensor.shape)):
                raise RuntimeError(f"TensorRT does not accept {name} of shape {tuple(tensor.shape)}")
            context.set_tensor_address(name, tensor.data_ptr())
        out = torch.empty(tuple(context.get_tensor_shape(output)), dtype=dtype, device=self._device)
        context.set_tensor_address(output, out.data_ptr())
        # Inputs that are freed after this call are reused on the same stream only, and so after it has read them.
        if not context.execute_async_v3(torch.cuda.current_stream(self._device).cuda_stream):
            raise RuntimeError("TensorRT could not run the encoder; the log has the reason")
        return out


def check_target(file: EncoderFile, target: EngineTarget, version: str, gpu: str, capability: tuple[int, int]) -> None:
    """Raises ModelLoadError: the file was built for another GPU or another version of TensorRT."""
    how = f"export it here: steno export encoder --tensorrt {file.ref.path}"
    if target.tensorrt != version:
        raise ModelLoadError(
            f"{file.ref.variable}: {file.ref.path} was built with TensorRT {target.tensorrt}, not {version}; {how}"
        )
    if target.capability != capability or target.gpu != gpu:
        raise ModelLoadError(f"{file.ref.variable}: {file.ref.path} was built for {target.gpu}, not for {gpu}; {how}")


def _capability(device: torch.device) -> tuple[int, int]:
    major, minor = torch.cuda.get_device_capability(device)
    return major, minor
