"""Builds TensorRT engines of the encoder for the GPU of this machine. Has not run on a GPU yet.

Networks are strongly typed: their precision is that of the ONNX model (TensorRT 11 has no other networks, and 10.12
and later has them beside the old ones).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from loguru import logger

from steno.backends.qwen.encoders.encoder_file import EncoderSizes, EngineTarget, Part
from steno.backends.qwen.encoders.tensorrt_package import engine_logger, tensorrt_package
from steno.backends.qwen.model.encoder import MAX_CHUNKS, MAX_WINDOWS
from steno.errors import ModelLoadError, SettingsError

WHAT = "--tensorrt"
OPTIMAL_ROWS = 8
"""Rows that an engine is optimised for; it accepts 1 to the most that the scheduler batches."""

Profile: TypeAlias = Mapping[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]
"""Least, optimal and largest shape of each input."""


def check_gpu() -> None:
    """Raises SettingsError: TensorRT is not installed, or there is no CUDA device."""
    tensorrt_package(WHAT)
    import torch

    if not torch.cuda.is_available():
        raise SettingsError(f"{WHAT} builds engines for the GPU of this machine, and torch finds none", param=WHAT)


def engine_target() -> EngineTarget:
    """What engines that are built now run on."""
    import torch

    major, minor = torch.cuda.get_device_capability()
    version = str(tensorrt_package(WHAT).__version__)
    return EngineTarget(version, torch.cuda.get_device_name(), (major, minor), MAX_CHUNKS["cuda"], MAX_WINDOWS["cuda"])


def engine_parts(models: Mapping[Part, bytes], sizes: EncoderSizes) -> dict[Part, bytes]:
    """Engines of both models; the attention's must have windows of a fixed number of tokens."""
    found = {part: build_engine(model, profiles(sizes)[part]) for part, model in models.items()}
    logger.info("built engines of {}", ", ".join(f"{len(engine) / 1e6:.0f} MB" for engine in found.values()))
    return found


def profiles(sizes: EncoderSizes) -> dict[Part, Profile]:
    """The shapes that each engine accepts."""

    def rows(most: int, *shape: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        return (1, *shape), (min(OPTIMAL_ROWS, most), *shape), (most, *shape)

    windows = MAX_WINDOWS["cuda"]
    return {
        "convolution": {"mel": rows(MAX_CHUNKS["cuda"], sizes.bands, 100)},
        "attention": {"hidden": rows(windows, sizes.window_tokens, sizes.d_model), "lengths": rows(windows)},
    }


def build_engine(model: bytes, profile: Profile) -> bytes:
    """The serialised engine of an ONNX model. Raises ModelLoadError: TensorRT cannot build it."""
    trt = tensorrt_package(WHAT)
    log = engine_logger(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        problems = "; ".join(parser.get_error(number).desc() for number in range(parser.num_errors))
        raise ModelLoadError(f"TensorRT {trt.__version__} cannot read the encoder: {problems}")
    shapes = builder.create_optimization_profile()
    for name, (least, optimal, most) in profile.items():
        shapes.set_shape(name, least, optimal, most)
    config: Any = builder.create_builder_config()
    config.add_optimization_profile(shapes)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ModelLoadError(f"TensorRT {trt.__version__} cannot build the encoder; the log has the reason")
    return bytes(engine)
