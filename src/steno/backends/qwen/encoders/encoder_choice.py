"""Who computes a loaded model's encoder: torch, or the file that a setting names, if it fits the checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from loguru import logger

from steno.backends.qwen.checkpoint.encoder_checksum import encoder_checksum
from steno.backends.qwen.encoders.encoder_file import OPTIONS, EncoderFile, EncoderRef, EncoderSizes, open_encoder_file
from steno.backends.qwen.encoders.fallback_encoder import FallbackEncoder
from steno.backends.qwen.model.audio_encoder import AudioEncoder
from steno.backends.qwen.model.torch_encoder import torch_encoder_of
from steno.backends.qwen3_asr.log_mel import CHUNK, tokens_of
from steno.errors import ModelLoadError, SettingsError

if TYPE_CHECKING:
    from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint
    from steno.backends.qwen.model.cuda.cuda_stream import CudaStream

MAX_DIFFERENCE = 0.1
"""Largest relative difference of a file's results to torch's. int8 differs by 3 %, bf16 by 1 %."""


def checked_encoder_file(loaded: LoadedCheckpoint, ref: EncoderRef) -> EncoderFile:
    """The file that a setting names, if it fits the checkpoint and the device.

    Raises:
        SettingsError: there is no such file, or its dtype or runtime does not fit the device.
        ModelLoadError: it was exported from another checkpoint.
    """
    file = open_encoder_file(ref)
    manifest, name = file.manifest, f"{ref.variable}: {ref.path}"
    _check_device(file, loaded.device, loaded.dtype)
    config: Any = loaded.model.config
    sizes = sizes_of(config.audio_config)
    if manifest.sizes != sizes:
        how = f"it has {manifest.sizes}, not {sizes}"
        raise ModelLoadError(f"{name} is an encoder of another size, exported from {manifest.model_id}: {how}")
    if manifest.weights != encoder_checksum(loaded.source):
        model_id = loaded.source.model_id
        how = f"export it again: steno export encoder --model {model_id} {OPTIONS[ref.runtime]} {ref.path}"
        raise ModelLoadError(f"{name} was exported from {manifest.model_id}, whose weights are not {model_id}'s; {how}")
    return file


def audio_encoder_of(loaded: LoadedCheckpoint, file: EncoderFile | None, on_stream: CudaStream) -> AudioEncoder:
    """The encoder on the file's runtime, with torch behind it; without a file on torch alone.

    Args:
        file: from `checked_encoder_file`.
        on_stream: of the model's steps.

    Raises:
        SettingsError: a package is missing.
        ModelLoadError: the file is damaged, was built for another machine, or computes something else on this one.
    """
    fallback = torch_encoder_of(loaded)
    if file is None:
        return fallback
    first: AudioEncoder
    if file.manifest.runtime == "tensorrt":
        from steno.backends.qwen.encoders.tensorrt_encoder import TensorRtEncoder

        first = TensorRtEncoder(file, loaded.device, loaded.dtype)
    else:
        from steno.backends.qwen.encoders.onnx_encoder import OnnxEncoder

        first = OnnxEncoder(file, loaded.device, loaded.dtype, on_stream.handle)
    encoder = FallbackEncoder(first, fallback, file.ref.variable)
    with on_stream(), torch.inference_mode():
        _check_results(file, encoder, fallback, loaded.device)
    logger.info("{}: {} encodes, in {}", file.ref.variable, encoder.runtime, file.manifest.dtype)
    return encoder


def sizes_of(config: Any) -> EncoderSizes:
    """The sizes of an encoder. `config`: of the audio tower."""
    return EncoderSizes(
        bands=config.num_mel_bins,
        d_model=config.d_model,
        hidden=config.output_dim,
        layers=config.encoder_layers,
        window_tokens=tokens_of(config.n_window_infer),
    )


def _check_results(file: EncoderFile, encoder: AudioEncoder, torchs: AudioEncoder, device: torch.device) -> None:
    """Raises ModelLoadError: the file's results are not near torch's on this machine. (Products in int8 saturate on
    processors without VNNI instructions.)"""
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(1, file.manifest.sizes.bands, CHUNK, generator=generator).to(device)
    convolved = torchs.convolve(mel)
    windows = [convolved[0]]
    pairs = ((encoder.convolve(mel), convolved), (encoder.attend(windows)[0], torchs.attend(windows)[0]))
    for found, wanted in pairs:
        difference = relative_rms(found, wanted)
        if not difference <= MAX_DIFFERENCE:
            name = f"{file.ref.variable}: {file.ref.path}"
            raise ModelLoadError(f"{name}: its results differ from torch's by {difference:.0%} on this machine")


def relative_rms(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Root mean square of the difference, relative to `wanted`'s."""
    found, wanted = found.float(), wanted.float()
    return float((found - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


def _check_device(file: EncoderFile, device: torch.device, dtype: torch.dtype) -> None:
    ref, of_file = file.ref, file.manifest.dtype
    why = None
    if device.type not in ("cpu", "cuda"):
        why = f"it is not supported on {device.type}"
    elif ref.runtime == "tensorrt" and device.type != "cuda":
        why = "TensorRT needs a CUDA device, and the model runs on the CPU"
    elif of_file == "fp16" and device.type != "cuda":
        why = "the file is fp16, which is for GPUs; on a CPU use --dtype fp32 or int8"
    elif of_file == "int8" and device.type != "cpu":
        why = "the file is int8, which is for CPUs; on a GPU use --dtype fp16"
    elif of_file == "fp16" and dtype == torch.float32:
        why = "the file is fp16, and DTYPE is float32; use --dtype fp32"
    if why is not None:
        raise SettingsError(f"{ref.variable}={ref.path}: {why}", param=ref.variable)
