"""Model lifecycle: counted leases, one load for all concurrent callers, unloading after an idle timeout."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from loguru import logger

from steno.backends.base import Progress
from steno.errors import ModelLoadError, StenoError

RETRY_AFTER_FAILURE_S = 5.0
"""A failed load is not retried before this; callers get the same error immediately."""


class LifecycleState(StrEnum):
    UNLOADED = "unloaded"
    LOADING = "loading"
    READY = "ready"
    UNLOADING = "unloading"


class Lifecycle:
    """Owns the loading and unloading of one backend.

    Args:
        name: what is loaded, for logs and errors.
        load, unload: the backend's methods. Each runs in its own task, so that a cancelled caller does not stop it.
        idle_timeout_s: how long the model stays loaded after the last lease ends; 0 = forever.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[Progress], Awaitable[None]],
        unload: Callable[[], Awaitable[None]],
        idle_timeout_s: float,
    ) -> None:
        self.name = name
        self._load = load
        self._unload = unload
        self._idle_timeout_s = idle_timeout_s
        self._state = LifecycleState.UNLOADED
        self._holders = 0
        self._task: asyncio.Task[None] | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._failure: ModelLoadError | None = None
        self._failed_at = 0.0
        self.progress: tuple[float, str] = (0.0, "")
        self._reload_requested = False
        """Whether a load was requested while the model was being unloaded."""
        self.loads = 0
        """Number of successful loads."""
        self.failures = 0
        """Number of failed loads."""

    @property
    def state(self) -> LifecycleState:
        return self._state

    @property
    def failure(self) -> str | None:
        """Why the last load failed; None if it did not."""
        return self._failure.message if self._failure is not None else None

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Prevents unloading while it is held. It does not load the model; `ready` does."""
        self._holders += 1
        self._stop_idle_timer()
        try:
            yield
        finally:
            self._holders -= 1
            self._start_idle_timer()

    async def ready(self) -> None:
        """Return once the model is loaded; load it if necessary.

        Raises:
            ModelLoadError: the load failed. Cancelling the wait does not cancel the load.
        """
        while self._state is not LifecycleState.READY:
            self.start_loading()
            assert self._task is not None
            await asyncio.wait([self._task])
            if self._state is LifecycleState.UNLOADED and self._failure is not None:
                raise self._failure.fresh()

    def start_loading(self) -> None:
        """Start loading, unless the model is loaded or loading; after unloading, if that is in progress. Does not wait.

        Raises:
            ModelLoadError: a load failed a moment ago.
        """
        if self._state is LifecycleState.UNLOADED:
            self._refuse_after_failure()
            self._start(LifecycleState.LOADING, self._run_load())
        elif self._state is LifecycleState.UNLOADING:
            self._reload_requested = True

    async def close(self) -> None:
        """Unload now and wait for it. A load in progress is cancelled, and what it has loaded is unloaded too."""
        self._stop_idle_timer()
        self._reload_requested = False
        abandoned = self._state is LifecycleState.LOADING
        if self._task is not None:
            if abandoned:
                self._task.cancel()
            await asyncio.wait([self._task])
        if abandoned or self._state is LifecycleState.READY:
            await self._run_unload()

    def _start(self, state: LifecycleState, work: Awaitable[None]) -> None:
        self._state = state
        self._task = asyncio.ensure_future(work)

    async def _run_load(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._failure = None
        self.progress = (0.0, "starting")
        logger.info("loading {}", self.name)
        loaded = False
        try:
            await self._load(self._report)
            loaded = True
        except StenoError as error:
            logger.warning("loading {} failed: {}", self.name, error.message)
            self._fail(f"{self.name} could not be loaded: {error.message}", loop.time())
        except Exception as error:  # noqa: BLE001 - the boundary of a task: logged, and delivered to all waiting callers
            logger.opt(exception=error).error("loading {} failed", self.name)
            self._fail(f"{self.name} could not be loaded: {type(error).__name__}", loop.time())
        finally:
            self._state = LifecycleState.READY if loaded else LifecycleState.UNLOADED
        if loaded:
            self.loads += 1
            logger.info("loaded {} in {:.1f} s", self.name, loop.time() - began)
            self._start_idle_timer()

    async def _run_unload(self) -> None:
        self._state = LifecycleState.UNLOADING
        self.progress = (0.0, "unloading")
        try:
            await self._unload()
            logger.info("unloaded {}", self.name)
        except Exception as error:  # noqa: BLE001 - the boundary of a task; the next load starts fresh
            logger.opt(exception=error).error("unloading {} failed", self.name)
        finally:
            self._state = LifecycleState.UNLOADED
        if self._reload_requested:
            self._reload_requested = False
            self._start(LifecycleState.LOADING, self._run_load())

    def _report(self, done: float, what: str) -> None:
        self.progress = (done, what)
        logger.debug("loading {}: {:.0%} {}", self.name, done, what)

    def _fail(self, message: str, now: float) -> None:
        self._failure = ModelLoadError(message, retry_after_s=RETRY_AFTER_FAILURE_S)
        self._failed_at = now
        self.failures += 1

    def _refuse_after_failure(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._failure is not None and now - self._failed_at < RETRY_AFTER_FAILURE_S:
            raise self._failure.fresh()

    def _start_idle_timer(self) -> None:
        if self._holders or self._idle_timeout_s <= 0 or self._state is not LifecycleState.READY:
            return
        self._stop_idle_timer()
        loop = asyncio.get_running_loop()
        self._idle_timer = loop.call_later(self._idle_timeout_s, self._on_idle)

    def _stop_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _on_idle(self) -> None:
        self._idle_timer = None
        if not self._holders and self._state is LifecycleState.READY:
            logger.info("{} was idle for {:g} s", self.name, self._idle_timeout_s)
            self._start(LifecycleState.UNLOADING, self._run_unload())
