"""The vLLM backend on running servers: the same, and it says which of them are up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steno.backends.base import ServerStatus
from steno.backends.vllm.backend import VllmBackend
from steno.backends.vllm.remote_engine import RemoteEngine

if TYPE_CHECKING:
    from steno.backends.vllm.processing import Processing
    from steno.backends.vllm.vllm_options import RemoteOptions


class RemoteVllmBackend(VllmBackend):
    """Loading connects; nothing of the model but its processor is read here."""

    name = "vllm-remote"

    def __init__(self, options: RemoteOptions) -> None:
        super().__init__(options.model, options.slots, "remote", self._connect)
        self._options = options
        self._engine: RemoteEngine | None = None

    @property
    def path(self) -> str:
        """`vllm-remote`, or `vllm-remote-transcriptions` while no server that is up takes tokens."""
        paths = {status.path for status in self.servers() if status.is_up}
        return f"{self.name}-transcriptions" if paths == {"transcriptions"} else self.name

    @property
    def failovers(self) -> int:
        return self._engine.failovers if self._engine is not None else 0

    def servers(self) -> Sequence[ServerStatus]:
        if self._engine is not None:
            return self._engine.status()
        return [
            ServerStatus(url, False, None, 0, "was not checked yet", is_checked=False) for url in self._options.urls
        ]

    def _connect(self, processing: Processing) -> RemoteEngine:
        self._engine = RemoteEngine(self._options, processing)
        return self._engine
