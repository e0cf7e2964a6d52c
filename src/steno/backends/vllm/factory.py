"""From the settings' options to a `VllmBackend`, without loading a model. The registry's entry point."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from steno.backends.qwen.factory import default_slots, expects_gpu
from steno.backends.vllm.vllm_options import options_of, remote_options_of

if TYPE_CHECKING:
    from steno.backends.registry import BackendOptions
    from steno.backends.vllm.backend import VllmBackend
    from steno.backends.vllm.remote_backend import RemoteVllmBackend


def create(options: BackendOptions) -> VllmBackend:
    """For the registry. Raises SettingsError."""
    from steno.backends.vllm.backend import VllmBackend
    from steno.backends.vllm.in_process import InProcessEngine

    chosen = options_of(options)
    slots = int(chosen.extra.get("max_num_seqs") or chosen.slots or default_slots(chosen.device))
    return VllmBackend(
        chosen.model,
        slots,
        "cuda" if expects_gpu(chosen.device) else "cpu",
        lambda processing: InProcessEngine(replace(chosen, slots=slots), processing),
    )


def create_remote(options: BackendOptions) -> RemoteVllmBackend:
    """For the registry: on running servers. Raises SettingsError."""
    from steno.backends.vllm.remote_backend import RemoteVllmBackend

    return RemoteVllmBackend(remote_options_of(options))
