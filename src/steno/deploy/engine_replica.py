"""A replica that has the models. Fronts connect to it directly; Serve only asks for its address, health and load."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import ray.util
from loguru import logger
from ray import serve

from steno import compose, logs
from steno.engine.lifecycle import LifecycleState
from steno.engine.protocol import EngineInfo, EngineStatus
from steno.engine.worker.worker_tcp import TokenGate, WorkerAddress, listen, new_token
from steno.errors import BackendCrashedError
from steno.settings import Settings

IN_USE_S = 60.0
"""A replica that is stopped waits so long, or for the settings' time to drain, until no front is connected."""


@dataclass(frozen=True, slots=True)
class EngineEndpoint:
    """What fronts need to know of an engine."""

    name: str
    address: WorkerAddress
    info: EngineInfo
    unloaded: EngineStatus


class EngineReplica:
    """A deployment's class; see the module."""

    def __init__(self, settings: Settings) -> None:
        logs.setup(settings.log_level, settings.log_json)
        self._settings = settings
        self._stop = asyncio.Event()
        token, host = new_token(), ray.util.get_node_ip_address()
        self._server = compose.worker_of(settings, TokenGate(token))
        listener = listen(host)
        self._endpoint = EngineEndpoint(
            name=serve.get_replica_context().replica_tag,
            address=WorkerAddress(host, listener.getsockname()[1], token),
            info=self._server.info,
            unloaded=self._server.status(),
        )
        self._serving = asyncio.create_task(self._server.run(listener, self._stop), name="worker server")

    async def endpoint(self) -> EngineEndpoint:
        return self._endpoint

    async def check_health(self) -> None:
        """Serve replaces a replica that raises three times.

        Raises:
            BackendCrashedError: the server has ended, or the model hangs.
        """
        if self._serving.done():
            raise BackendCrashedError("the worker server has ended")
        limit_s, busy_s = self._settings.worker_timeout, self._server.busy_s()
        is_loading = self._server.status().recogniser.state is LifecycleState.LOADING
        if busy_s > limit_s and not is_loading:
            raise BackendCrashedError(f"a step takes {busy_s:.0f} s, more than WORKER_TIMEOUT")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """For `EngineScaling`."""
        status = self._server.status()
        return {"sessions": status.live_sessions, "jobs": sum(status.queue_depth.values())}

    async def __del__(self) -> None:
        """Serve calls it before the replica ends: it waits for the fronts to leave, then unloads the models."""
        limit_s = max(IN_USE_S, self._settings.drain_timeout)
        try:
            async with asyncio.timeout(limit_s):
                await self._server.unused()
        except TimeoutError:
            logger.warning("{} fronts still use this engine after {:g} s; it ends", self._server.fronts, limit_s)
        self._stop.set()
        await asyncio.wait([self._serving])
