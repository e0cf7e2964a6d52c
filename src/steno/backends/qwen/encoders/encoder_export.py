"""`steno export encoder`: a checkpoint's encoder as a file for ONNX Runtime, or for TensorRT on this GPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steno.backends.qwen.encoders.encoder_file import (
    FORMAT,
    EncoderDtype,
    EncoderFile,
    EncoderManifest,
    EncoderRef,
    Part,
    write_encoder_file,
)
from steno.errors import BackendUnavailableError, ModelLoadError, SettingsError

if TYPE_CHECKING:
    import numpy as np

    from steno.backends.base import Progress
    from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint
    from steno.backends.qwen.engine_options import LoadOptions

TOLERANCE: dict[EncoderDtype, float] = {"fp32": 1e-4, "fp16": 0.02, "int8": 0.1}
"""Largest difference to torch in fp32. fp32: of any value. fp16 and int8: root mean square, relative to torch's."""
CHECKED_BATCHES = (1, 3, 16)


@dataclass(frozen=True, slots=True)
class ExportedEncoder:
    """What an export found when it compared the file with torch."""

    path: Path
    size_bytes: int
    dtype: EncoderDtype
    difference: float | None
    """As `TOLERANCE` measures it; None = not compared."""


def check_packages(onnx: Path | None, tensorrt: Path | None, dtype: EncoderDtype) -> None:
    """Raises BackendUnavailableError or SettingsError: what is missing for the files, before anything is loaded."""
    if importlib.util.find_spec("onnx") is None:
        raise BackendUnavailableError("exporting an encoder needs onnx: pip install 'steno[export]'")
    if tensorrt is None:
        return
    from steno.backends.qwen.encoders.tensorrt_build import check_gpu

    if dtype == "int8":
        raise SettingsError("--tensorrt has no int8; use --dtype fp16")
    check_gpu()


def export_encoder(
    options: LoadOptions, onnx: Path | None, tensorrt: Path | None, dtype: EncoderDtype, progress: Progress
) -> list[ExportedEncoder]:
    """Write the encoder of a recogniser to `onnx`, `tensorrt`, or both.

    Args:
        options: the checkpoint, on the CPU in float32.

    Raises:
        SettingsError, ModelLoadError: as `load_recogniser`; or the exported encoder differs from torch's.
        BackendUnavailableError: a package is missing.
    """
    from steno.backends.qwen.checkpoint.encoder_checksum import encoder_checksum
    from steno.backends.qwen.checkpoint.loader import load_recogniser
    from steno.backends.qwen.encoders.encoder_choice import sizes_of

    check_packages(onnx, tensorrt, dtype)
    loaded = load_recogniser(options, lambda done, what: progress(0.4 * done, what))
    _drop_decoder(loaded.model)
    config: Any = loaded.model.config
    sizes = sizes_of(config.audio_config)
    model_id, checksum = loaded.source.model_id, encoder_checksum(loaded.source)
    found = []
    if onnx is not None:
        progress(0.5, "building the ONNX models")
        parts = onnx_parts(loaded, dtype)
        manifest = EncoderManifest(FORMAT, "onnxruntime", model_id, checksum, dtype, sizes)
        progress(0.7, "comparing with torch")
        difference = _checked(loaded, manifest, parts)
        progress(0.9, f"writing {onnx}")
        write_encoder_file(onnx, manifest, parts)
        found.append(ExportedEncoder(onnx, onnx.stat().st_size, dtype, difference))
    if tensorrt is not None:
        from steno.backends.qwen.encoders.tensorrt_build import engine_parts, engine_target

        progress(0.9, "building the TensorRT engines, which takes minutes")
        parts = engine_parts(onnx_parts(loaded, dtype, sizes.window_tokens), sizes)
        manifest = EncoderManifest(FORMAT, "tensorrt", model_id, checksum, dtype, sizes, engine_target())
        write_encoder_file(tensorrt, manifest, parts)
        found.append(ExportedEncoder(tensorrt, tensorrt.stat().st_size, dtype, None))
    progress(1.0, "done")
    return found


def _drop_decoder(model: Any) -> None:
    """Free its memory, which is three quarters of the 1.7B's."""
    import torch

    model.model.language_model = torch.nn.Identity()
    model.lm_head = torch.nn.Identity()


def onnx_parts(loaded: LoadedCheckpoint, dtype: EncoderDtype, tokens: int | None = None) -> dict[Part, bytes]:
    """The two ONNX models. `tokens`: all windows are padded to so many; None = any number."""
    from steno.backends.qwen.encoders.onnx_graph import attention_model, convolution_model

    config: Any = loaded.model.config.audio_config
    if config.activation_function != "gelu":
        name = config.activation_function
        raise ModelLoadError(f"{loaded.source.model_id}: the activation {name!r} is not supported")
    weights = _weights(loaded)
    return {
        "convolution": convolution_model(weights, config, dtype),
        "attention": attention_model(weights, config, dtype, tokens),
    }


def _weights(loaded: LoadedCheckpoint) -> dict[str, np.ndarray]:
    from steno.backends.qwen3_asr.log_mel import TOKENS_PER_CHUNK

    model: Any = loaded.model.model
    weights = {
        f"{module}.{name}": tensor.float().numpy()
        for module in ("audio_tower", "multi_modal_projector")
        for name, tensor in getattr(model, module).state_dict().items()
        if ".qkv_proj." not in name  # has the values of the others, once a `TorchEncoder` has merged them
    }
    positions = model.audio_tower.positional_embedding.positional_embedding
    weights["positions"] = positions[:TOKENS_PER_CHUNK].float().numpy()
    return weights


def _checked(loaded: LoadedCheckpoint, manifest: EncoderManifest, parts: dict[Part, bytes]) -> float:
    """The largest difference to torch over batches of several sizes. Raises ModelLoadError: it is too large."""
    import torch

    from steno.backends.qwen.encoders.onnx_encoder import OnnxEncoder
    from steno.backends.qwen.model.torch_encoder import torch_encoder_of

    file = _UnwrittenFile(EncoderRef(Path("unwritten"), manifest.runtime), manifest, 0, parts)
    exported, reference = OnnxEncoder(file, loaded.device, torch.float32), torch_encoder_of(loaded)
    generator = torch.Generator().manual_seed(0)
    sizes, worst = manifest.sizes, 0.0
    with torch.inference_mode():
        for rows in CHECKED_BATCHES:
            mel = torch.randn(rows, sizes.bands, 100, generator=generator)
            lengths = torch.randint(1, sizes.window_tokens + 1, (rows,), generator=generator).tolist()
            windows = [torch.randn(length, sizes.d_model, generator=generator) for length in lengths]
            pairs = [(exported.convolve(mel), reference.convolve(mel))]
            pairs += zip(exported.attend(windows), reference.attend(windows), strict=True)
            worst = max(worst, *(_difference(one, other, manifest.dtype) for one, other in pairs))
    if not worst <= TOLERANCE[manifest.dtype]:
        limit = TOLERANCE[manifest.dtype]
        raise ModelLoadError(f"not written: the exported encoder differs from torch's by {worst:.2g}, over {limit:g}")
    return worst


def _difference(exported: Any, reference: Any, dtype: EncoderDtype) -> float:
    if dtype == "fp32":
        return float((exported - reference).abs().max())
    from steno.backends.qwen.encoders.encoder_choice import relative_rms

    return relative_rms(exported, reference)


@dataclass(frozen=True, slots=True)
class _UnwrittenFile(EncoderFile):
    """An `EncoderFile` in memory."""

    parts: dict[Part, bytes]

    def part(self, part: Part) -> bytes:
        return self.parts[part]


def describe(found: Sequence[ExportedEncoder]) -> list[str]:
    """For the command line."""
    from steno.backends.qwen.checkpoint.weights import gigabytes

    lines = []
    for one in found:
        what = f"{one.path}: {one.dtype}, {gigabytes(one.size_bytes)}"
        if one.difference is not None:
            kind = "largest" if one.dtype == "fp32" else "relative RMS"
            what += f", {kind} difference to torch {one.difference:.1e}"
        lines.append(what)
    return lines
