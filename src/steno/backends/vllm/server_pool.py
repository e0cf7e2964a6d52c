"""The vLLM servers: health, the least loaded one, and which live utterance is pinned to which."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from steno.backends.vllm.vllm_server import VllmServer
from steno.errors import BackendCrashedError, ModelLoadError

CHECK_EVERY_S = 2.0
RETRY_S = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Pauses between checks of a server that is down; the last one repeats."""
WAIT_S = 2.0
"""Time that a request waits for a server to come up. The engine repeats the request, with pauses."""
MAX_PINS = 10_000
"""A pin that is lost costs the windows of one utterance, sent again."""


class ServerPool:
    """Owns the servers and one health task for each."""

    def __init__(self, servers: Sequence[VllmServer]) -> None:
        self.servers = tuple(servers)
        self._pins: OrderedDict[str, VllmServer] = OrderedDict()
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()

    @property
    def is_lost(self) -> bool:
        """Whether it has started, and no server is up."""
        return bool(self._tasks) and not any(server.is_up for server in self.servers)

    async def start(self) -> None:
        """Check all servers; those that are down are checked again and again.

        Raises:
            ModelLoadError: none is up.
        """
        for server in self.servers:
            server.open()
        try:
            async with asyncio.TaskGroup() as group:
                for server in self.servers:
                    group.create_task(server.check())
            if not any(server.is_up for server in self.servers):
                raise _unreachable(self.servers)
        except BaseException:
            await self.stop()
            raise
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._watch(server), name=f"health {server.url}") for server in self.servers]

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for utterance in list(self._pins):
            self.forget(utterance)
        for server in self.servers:
            await server.aclose()

    async def choose(self, utterance: str | None, tried: Mapping[VllmServer, int]) -> VllmServer:
        """The server for a request; a live utterance is pinned to it.

        Args:
            tried: those that failed on the request, with their `checks` then. They are chosen again only after a
                health check, and after all others.

        Raises:
            BackendCrashedError: none is up, and none came up in time.
        """
        try:
            async with asyncio.timeout(WAIT_S):
                while not (candidates := self._candidates(tried)):
                    await self._changed.wait()
        except TimeoutError:
            raise BackendCrashedError("none of the vLLM servers answers") from None
        pinned = self._pins.get(utterance) if utterance is not None else None
        if pinned in candidates:
            return pinned
        server = min(candidates, key=lambda each: (each.load, each.requests))
        if utterance is not None:
            self.forget(utterance)
            self._pin(utterance, server)
        return server

    def forget(self, utterance: str) -> None:
        server = self._pins.pop(utterance, None)
        if server is not None:
            server.pinned -= 1

    def _pin(self, utterance: str, server: VllmServer) -> None:
        self._pins[utterance] = server
        server.pinned += 1
        if len(self._pins) > MAX_PINS:
            self.forget(next(iter(self._pins)))

    def _candidates(self, tried: Mapping[VllmServer, int]) -> list[VllmServer]:
        up = [each for each in self.servers if each.is_up]
        up = [each for each in up if each.is_exact] or up
        untried = [each for each in up if each not in tried]
        return untried or [each for each in up if each.checks > tried[each]]

    async def _watch(self, server: VllmServer) -> None:
        failures = 0
        while True:
            pause_s = CHECK_EVERY_S if server.is_up else RETRY_S[min(failures, len(RETRY_S) - 1)]
            try:
                async with asyncio.timeout(pause_s):
                    await server.check_requested.wait()
            except TimeoutError:
                pass
            await server.check()
            failures = 0 if server.is_up else failures + 1
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()


def _unreachable(servers: Sequence[VllmServer]) -> ModelLoadError:
    problems = "; ".join(f"{server.url} {server.problem}" for server in servers)
    hint = "; set VLLM_API_KEY to the key of the servers" if any(each.refuses_key for each in servers) else ""
    return ModelLoadError(f"no vLLM server of VLLM_BASE_URL can be used: {problems}{hint}")
