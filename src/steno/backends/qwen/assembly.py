"""Loads the models of a cascade and builds a runner around each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loguru import logger

from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
from steno.errors import StenoError

if TYPE_CHECKING:
    from steno.backends.base import Progress
    from steno.backends.qwen.batching.cascade import Cascade
    from steno.backends.qwen.model.model import AsrModel


def assemble(options: LoadOptions, engine: EngineOptions, max_tokens: int, progress: Progress) -> Cascade:
    """Load and warm up the models. If the draft model cannot be loaded, fall back to `standard`, with a warning.

    Raises:
        ModelLoadError, SettingsError: the target model could not be loaded.
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
        fast = _load_draft_model(engine.fast, main, engine, max_tokens, _part(progress, share, 0.9))
    progress(0.9, "warming up")
    models = [model for model in (main, fast) if model is not None]
    for model in models:
        model.warm_up()
    runners = [
        ModelRunner(
            model,
            reserved=model.slots // 4 if model.slots < engine.slots else 0,
            incremental=engine.incremental,
        )
        for model in models
    ]
    return Cascade(runners[0], runners[1] if fast is not None else None, dual=engine.path == "dual")


def _load_draft_model(
    options: LoadOptions, main: AsrModel, engine: EngineOptions, max_tokens: int, progress: Progress
) -> AsrModel | None:
    from steno.backends.qwen.model import memory_plan
    from steno.backends.qwen.model.model import AsrModel

    share = memory_plan.MemoryShare(weight_bytes=main.weight_bytes, slot_bytes=main.cache_bytes)
    try:
        fast = AsrModel.load(options, replace(engine, encoder=None), max_tokens, progress, share)
    except StenoError as error:
        logger.warning(
            "cascade {}: the draft model could not be loaded; falling back to standard: {}", engine.path, error.message
        )
        return None
    if not fast.shares_vocabulary(main):
        logger.warning(
            "cascade {}: {} has another vocabulary than {}; falling back to standard",
            engine.path, options.model_id, main.model_id,
        )  # fmt: skip
        return None
    return fast


def _part(progress: Progress, start: float, end: float) -> Progress:
    def report(done: float, what: str) -> None:
        progress(start + (end - start) * done, what)

    return report
