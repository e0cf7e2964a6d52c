"""From the settings' options to a `VllmBackend`, without loading a model. The registry's entry point."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from steno.backends.vllm.vllm_options import CPU_SLOTS, GPU_SLOTS, options_of

if TYPE_CHECKING:
    from steno.backends.registry import BackendOptions
    from steno.backends.vllm.backend import VllmBackend


def create(options: BackendOptions) -> VllmBackend:
    """For the registry. Raises SettingsError."""
    from steno.backends.qwen.model.device import has_gpu
    from steno.backends.vllm.backend import VllmBackend
    from steno.backends.vllm.in_process import InProcessEngine

    chosen = options_of(options)
    on_gpu = chosen.device != "cpu" and has_gpu()
    slots = int(chosen.extra.get("max_num_seqs") or chosen.slots or (GPU_SLOTS if on_gpu else CPU_SLOTS))
    return VllmBackend(
        chosen.model,
        slots,
        "cuda" if on_gpu else "cpu",
        lambda processing: InProcessEngine(replace(chosen, slots=slots), processing),
    )
