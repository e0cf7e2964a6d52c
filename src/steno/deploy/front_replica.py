"""A replica that serves clients: the same web application as `steno serve`, with its engine in other replicas."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from loguru import logger
from ray import serve
from ray.serve.handle import DeploymentHandle

from steno import compose, logs
from steno.deploy.engine_replica import EngineEndpoint
from steno.deploy.replica_lookup import ask_all, try_to_ask_all
from steno.engine.front import Engine
from steno.engine.telemetry import Telemetry
from steno.engine.worker.membership import Membership
from steno.errors import UnavailableError
from steno.server.app import create_app
from steno.settings import Settings

FIRST_ENGINE_S = 600.0
"""Time limit for the first engine to start; then Serve starts this replica again."""
WATCH_S = 1.0
"""Interval of the look-ups, whether this replica is being stopped."""
MISSES = 2
"""Look-ups, one after the other, that do not list this replica before it is taken for stopped."""


class FrontReplica:
    """A deployment's class, for `serve.ingress()`; see the module."""

    def __init__(self, settings: Settings, engines: DeploymentHandle) -> None:
        logs.setup(settings.log_level, settings.log_json)
        self._settings = settings
        self._engines = engines
        self._name: str = serve.get_replica_context().replica_tag
        self._watching: asyncio.Task[None] | None = None

    async def __serve_build_asgi_app__(self) -> FastAPI:
        first = await self._find_engine()

        def engine_of(settings: Settings, telemetry: Telemetry) -> Engine:
            return compose.pool_engine_of(settings, telemetry, first.info, first.unloaded, self._look_up)

        app = create_app(self._settings, engine_of=engine_of)
        context = serve.get_replica_context()
        fronts = serve.get_deployment_handle(context.deployment, context.app_name)
        self._watching = asyncio.create_task(self._drain_when_stopped(app, fronts), name="stop watch")
        return app

    async def name(self) -> str:
        return self._name

    async def __del__(self) -> None:
        """Serve calls it after the last request, and after the application's shutdown."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def _find_engine(self) -> EngineEndpoint:
        """What the engines serve, from the first one that runs.

        Raises:
            UnavailableError: none has started in time.
        """
        try:
            async with asyncio.timeout(FIRST_ENGINE_S):
                while True:
                    endpoints: tuple[EngineEndpoint, ...] = (await try_to_ask_all(self._engines, "endpoint")).values
                    if endpoints:
                        return endpoints[0]
                    await asyncio.sleep(WATCH_S)
        except TimeoutError:
            raise UnavailableError(f"no engine replica has started in {FIRST_ENGINE_S:g} s") from None

    async def _look_up(self) -> Membership:
        answers = await ask_all(self._engines, "endpoint")
        endpoints: tuple[EngineEndpoint, ...] = answers.values
        return Membership({each.name: each.address.connect for each in endpoints}, answers.is_complete)

    async def _drain_when_stopped(self, app: FastAPI, fronts: DeploymentHandle) -> None:
        was_listed, misses = False, 0
        while misses < MISSES:
            await asyncio.sleep(WATCH_S)
            answers = await try_to_ask_all(fronts, "name")
            if self._name in answers.values:
                was_listed, misses = True, 0
            elif was_listed and answers.is_complete:
                misses += 1
        await self._drain(app.state.services.engine)

    async def _drain(self, engine: Engine) -> None:
        limit_s = self._settings.drain_timeout
        logger.info("draining: {} requests in progress have up to {:g} s to finish", engine.active, limit_s)
        engine.drain()
        try:
            async with asyncio.timeout(limit_s):
                await engine.idle()
        except TimeoutError:
            logger.warning("cancelling {} requests", engine.active)
            engine.cut_off()
