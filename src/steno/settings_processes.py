"""Settings of the processes that a server consists of: a part of `Settings`."""

from __future__ import annotations

from pydantic import model_validator
from pydantic_settings import BaseSettings

from steno.settings_fields import DeviceName, Devices, setting


class ProcessSettings(BaseSettings):
    """See `Settings`."""

    gateway_mode: bool = setting(
        "Processes",
        "Keep the models in a worker process: started by work, ended when idle, replaced when it dies.",
        False,
    )
    worker_timeout: float = setting(
        "Processes", "Seconds that one step of the worker process may take before it is killed.", 120.0, ge=1, le=86_400
    )
    fronts: int = setting(
        "Processes",
        "Processes that serve the port together, with the models in a worker process (as `GATEWAY_MODE`). One serves "
        "some 250 live streams. Limits hold for all of them together, unless their description says otherwise.",
        1,
        ge=1,
        le=64,
    )
    devices: Devices = setting(
        "Processes",
        "Devices, comma-separated (`cuda:0,cuda:1`): one worker process for each (as `GATEWAY_MODE`). In place of "
        "`DEVICE`.",
        (),
    )
    numa_node: int | None = setting(
        "Processes", "NUMA node: run on its CPUs, and prefer its memory (Linux).", None, ge=0
    )
    drain_timeout: float = setting(
        "Processes", "Seconds that requests in progress have to finish after SIGTERM.", 30.0, ge=0, le=3600
    )
    use_granian: bool = setting("Processes", "Serve with granian instead of uvicorn.", False)
    device: DeviceName = setting(
        "Model", "Device of Qwen3-ASR: `cpu`, `cuda`, `cuda:N`, `mps`; `auto` = a GPU if there is one.", "auto"
    )

    speaker_model_id: str | None = setting(
        "Model",
        "Network that tells speakers apart (`diarize=true`): the path of an ONNX speaker embedding, or `pyannote/…` "
        "with `steno[pyannote]`. Default: the one that steno ships.",
        None,
    )

    @model_validator(mode="after")
    def _processes_together(self) -> ProcessSettings:
        if self.fronts > 1 and self.use_granian:
            raise ValueError("USE_GRANIAN=true does not work with FRONTS; unset one of them")
        if self.devices and self.device != "auto":
            raise ValueError(f"DEVICES contradicts DEVICE={self.device}; set one of them")
        return self

    @property
    def has_worker(self) -> bool:
        """Whether the models are in worker processes."""
        return self.gateway_mode or self.fronts > 1 or bool(self.devices)
