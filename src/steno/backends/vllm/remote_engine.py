"""Running `vllm serve` processes behind the seam: a request that fails on one of them goes to another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from loguru import logger

from steno.backends.vllm.generate_wire import GenerateWire, hashed
from steno.backends.vllm.server_errors import ServerFailedError, ServerLostError
from steno.backends.vllm.server_pool import ServerPool
from steno.backends.vllm.vllm_server import VllmServer
from steno.errors import BackendCrashedError, BackendError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steno.backends.base import Progress, ServerStatus
    from steno.backends.vllm.processing import Processing
    from steno.backends.vllm.token_generator import Generation, TokenRequest
    from steno.backends.vllm.vllm_options import RemoteOptions

MAX_ATTEMPTS = 3


class RemoteEngine:
    """A `TokenGenerator`."""

    def __init__(self, options: RemoteOptions, processing: Processing) -> None:
        wire = GenerateWire(processing.audio_token_id, processing.stop_token_ids, processing.vocabulary)
        self._pool = ServerPool([VllmServer(url, options, wire) for url in options.urls])
        self.failovers = 0
        """Requests that were sent to another server, or again."""

    def status(self) -> Sequence[ServerStatus]:
        return [server.status() for server in self._pool.servers]

    async def start(self, progress: Progress) -> None:
        """Raises ModelLoadError: no server can be used."""
        progress(0.5, "connecting to vLLM")
        await self._pool.start()

    async def stop(self) -> None:
        await self._pool.stop()

    def restarting(self) -> str | None:
        """See `RestartsItself`."""
        return "none of the vLLM servers is up" if self._pool.is_lost else None

    def forget(self, utterance: str) -> None:
        self._pool.forget(utterance)

    async def generate(self, request: TokenRequest) -> Generation:
        prepared = await asyncio.to_thread(hashed, request)
        tried: dict[VllmServer, int] = {}
        failure: ServerFailedError | None = None
        for _ in range(MAX_ATTEMPTS):
            server = await self._pool.choose(prepared.utterance, tried)
            self.failovers += failure is not None
            try:
                return await server.generate(prepared)
            except ServerFailedError as error:
                failure, tried[server] = error, server.checks
                level = "DEBUG" if isinstance(error, ServerLostError) else "WARNING"  # a loss is logged once
                logger.log(level, "vLLM server {} {}", server.url, error.message)
        if isinstance(failure, ServerLostError):
            raise BackendCrashedError("the vLLM servers did not answer")
        raise BackendError("vLLM failed on this audio; the server's log has the reason")
