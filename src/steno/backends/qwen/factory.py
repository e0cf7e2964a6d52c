"""From the settings' options to a `QwenBackend`, without loading a model. The registry's entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steno.backends.qwen.encoders.encoder_file import open_encoder_file
from steno.backends.qwen.engine_options import EngineOptions, cascade_of, checkpoints_of, encoder_of
from steno.backends.qwen.model.slot_classes import least_long

if TYPE_CHECKING:
    from steno.backends.qwen.backend import QwenBackend
    from steno.backends.registry import BackendOptions

CPU_SLOTS, GPU_SLOTS = 8, 256


def create(options: BackendOptions) -> QwenBackend:
    """For the registry. Raises SettingsError, ModelLoadError: an encoder's file that this engine does not support."""
    from steno.backends.qwen.backend import QwenBackend

    encoder = encoder_of(options)
    if encoder is not None:
        open_encoder_file(encoder)
    checkpoints = checkpoints_of(options)
    slots = options.slots or default_slots(options.device)
    engine = EngineOptions(
        slots=slots,
        long_slots=options.long_slots or default_long_slots(options.device, slots),
        incremental=options.incremental,
        fast=checkpoints.fast,
        path=cascade_of(options),
        gpu_memory_mb=options.gpu_memory_mb,
        cuda_graphs=options.cuda_graphs,
        encoder=encoder,
    )
    return QwenBackend(checkpoints.model, engine)


def default_slots(device: str) -> int:
    """A GPU decodes this many sequences at nearly the cost of one; a CPU gains less. `device` as in the settings."""
    return GPU_SLOTS if expects_gpu(device) else CPU_SLOTS


def default_long_slots(device: str, slots: int) -> int:
    """On a GPU few of the slots are long, because their memory is allocated whether it is used or not; on a CPU all,
    where memory suffices. `device` as in the settings."""
    return least_long(slots) if expects_gpu(device) else slots


def expects_gpu(device: str) -> bool:
    """Whether a model will run on a GPU, as far as can be told without importing torch. `device` as in the settings."""
    from steno.backends.qwen.model.device import has_gpu

    return device.startswith("cuda") or (device == "auto" and has_gpu())
