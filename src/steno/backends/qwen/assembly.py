"""From options to a backend, which is light, and from its options to loaded models, which are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

from steno.backends.qwen.engine_options import EngineOptions, LoadOptions, checkpoints_of, path_of
from steno.errors import StenoError

if TYPE_CHECKING:
    from steno.backends.base import Progress
    from steno.backends.qwen.backend import QwenBackend
    from steno.backends.qwen.batching.cascade import Cascade
    from steno.backends.qwen.model.model import AsrModel
    from steno.backends.registry import BackendOptions

CPU_SLOTS, GPU_SLOTS = 8, 256


def create(options: BackendOptions) -> QwenBackend:
    """For the registry."""
    from steno.backends.qwen.backend import QwenBackend

    wanted = checkpoints_of(options)
    engine = EngineOptions(
        slots=options.slots or default_slots(options.device),
        incremental=options.incremental,
        fast=wanted.fast,
        path=path_of(options),
        gpu_memory_mb=options.gpu_memory_mb,
        cuda_graphs=options.cuda_graphs,
    )
    return QwenBackend(wanted.model, engine)


def default_slots(device: str) -> int:
    """As many as a GPU decodes at nearly the cost of one; a CPU has less to gain. `device` as in the settings."""
    from steno.backends.qwen.model.device import has_gpu

    return GPU_SLOTS if device.startswith("cuda") or (device == "auto" and has_gpu()) else CPU_SLOTS


def assemble(options: LoadOptions, engine: EngineOptions, max_tokens: int, progress: Progress) -> Cascade:
    """Load what the path needs, and warm it up. Without the small model it is the standard path, with a warning.

    Raises:
        ModelLoadError, SettingsError: the model itself could not be loaded.
    """
    from steno.backends.qwen.batching.cascade import Cascade
    from steno.backends.qwen.batching.runner import ModelRunner
    from steno.backends.qwen.model import memory_plan
    from steno.backends.qwen.model.model import AsrModel

    share = 0.9 if engine.fast is None else 0.6
    parts = 1 if engine.fast is None else 2
    main = AsrModel.load(options, engine, max_tokens, _part(progress, 0.0, share), memory_plan.MemoryShare(parts))
    fast = None
    if engine.fast is not None:
        fast = _fast_machine(engine.fast, main, engine, max_tokens, _part(progress, share, 0.9))
    progress(0.9, "warming up")
    machines = [machine for machine in (main, fast) if machine is not None]
    for machine in machines:
        machine.warm_up()
    runners = [
        ModelRunner(
            machine,
            machine.slots,
            reserved=machine.slots // 4 if machine.slots < engine.slots else 0,
            incremental=engine.incremental,
        )
        for machine in machines
    ]
    return Cascade(runners[0], runners[1] if fast is not None else None, dual=engine.path == "dual")


def _fast_machine(
    options: LoadOptions, main: AsrModel, engine: EngineOptions, max_tokens: int, progress: Progress
) -> AsrModel | None:
    from steno.backends.qwen.model import memory_plan
    from steno.backends.qwen.model.model import AsrModel

    beside = memory_plan.MemoryShare(weight_bytes=main.weight_bytes, slot_bytes=main.cache_bytes)
    try:
        fast = AsrModel.load(options, engine, max_tokens, progress, beside)
    except StenoError as error:
        logger.warning("path {}: the small model is not to be had, so it is standard: {}", engine.path, error.message)
        return None
    if not fast.speaks_like(main):
        logger.warning(
            "path {}: {} has other tokens than {}, so it is standard", engine.path, options.model_id, main.model_id
        )
        return None
    return fast


def _part(progress: Progress, start: float, end: float) -> Progress:
    def report(done: float, what: str) -> None:
        progress(start + (end - start) * done, what)

    return report
