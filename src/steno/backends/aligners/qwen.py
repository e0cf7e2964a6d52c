"""Qwen3-ForcedAligner in its own thread; waiting alignments are batched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from loguru import logger

from steno import request_ids
from steno.backends.memory import release_memory
from steno.backends.qwen.forced_aligner import CODES, MAX_AUDIO_S, check
from steno.backends.qwen.model.device import Scale, scale_of
from steno.errors import BackendError, BackendUnavailableError, DrainingError, StenoError

if TYPE_CHECKING:
    from steno.backends.aligners.base import Align, Alignment
    from steno.backends.base import Progress
    from steno.backends.qwen.engine_options import LoadOptions
    from steno.backends.qwen.forced_aligner import ForcedAligner
    from steno.backends.registry import BackendOptions

T = TypeVar("T")

DEFAULT_ID = "Qwen/Qwen3-ForcedAligner-0.6B"

BATCH: dict[Scale, int] = {"cuda": 4, "cpu": 1}
"""Aligner batch size. On a CPU a batch takes as long as its parts one by one."""


@dataclass(eq=False, slots=True)
class _Request:
    work: Align
    future: asyncio.Future[Alignment]
    request_id: str | None


class QwenAligner:
    """See `backends.aligners.base.Aligner`.

    Args:
        options: which checkpoint, and where it runs.
    """

    name = "qwen"
    languages = frozenset(CODES)
    live_workers = 1
    max_audio_s = MAX_AUDIO_S

    def __init__(self, options: LoadOptions) -> None:
        self.model_id = options.model_id
        self._options = options
        self._model: ForcedAligner | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: list[_Request] = []
        self._running: asyncio.Task[None] | None = None
        self._is_cancelled = False

    @property
    def workers(self) -> int:
        """Two batches: one gathers while the other runs."""
        return 2 * self._batch

    async def load(self, progress: Progress) -> None:
        """Raises ModelLoadError."""
        self._is_cancelled = False

        def report(done: float, what: str) -> None:
            if self._is_cancelled:  # a thread cannot be cancelled; the process would wait for it
                raise DrainingError
            progress(done, what)

        try:
            self._model = await self._in_thread(self._load, report)
        except asyncio.CancelledError:
            self._is_cancelled = True
            raise
        progress(1.0, "ready")

    async def unload(self) -> None:
        self._model = None
        await self._in_thread(release_memory)
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def align(self, work: Align) -> Alignment:
        """Raises UnsupportedLanguageError, UnsupportedFeatureError, AudioTooLongError, BackendError."""
        check(work)
        if self._model is None:
            raise BackendUnavailableError(f"the aligner {self.model_id} is not loaded")
        request = _Request(work, asyncio.get_running_loop().create_future(), request_ids.current())
        self._waiting.append(request)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run(), name="aligner", context=Context())
        try:
            return await request.future
        finally:
            if request in self._waiting:  # the caller was cancelled
                self._waiting.remove(request)
            del request  # a failed future keeps its error, whose traceback keeps this frame, and the audio

    async def _run(self) -> None:
        """Align batch after batch. Requests of cancelled callers are skipped."""
        while self._waiting:
            pending = [request for request in self._waiting if not request.future.done()]
            batch, self._waiting = pending[: self._batch], pending[self._batch :]
            if not batch:
                return
            with request_ids.about(request.request_id for request in batch):
                outcomes = await self._in_thread(self._align, [request.work for request in batch])
            for request, outcome in zip(batch, outcomes, strict=True):
                _settle(request, outcome)

    def _align(self, works: Sequence[Align]) -> list[Alignment | StenoError]:
        """Runs in the thread. The outermost boundary: an error is logged, and each caller gets its own copy."""
        try:
            if self._model is None:
                raise BackendUnavailableError(f"the aligner {self.model_id} is not loaded")
            return self._model.align(works)
        except Exception as error:  # noqa: BLE001
            logger.opt(exception=error).error("aligning {} pieces failed: {}", len(works), error)
            return [BackendError("the aligner failed on this audio; the server's log has the reason") for _ in works]

    def _load(self, progress: Progress) -> ForcedAligner:
        from steno.backends.qwen.checkpoint.loader import load_aligner
        from steno.backends.qwen.forced_aligner import ForcedAligner

        model = ForcedAligner(load_aligner(self._options, progress))
        model.warm_up()
        return model

    @property
    def _batch(self) -> int:
        return BATCH[scale_of(self._model.device)] if self._model is not None else 1

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="aligner")
        return await request_ids.run_in_executor(self._thread, partial(call, *arguments))


def create(options: BackendOptions) -> QwenAligner:
    """For the registry."""
    from steno.backends.qwen.engine_options import aligner_of

    return QwenAligner(aligner_of(options, DEFAULT_ID))


def _settle(request: _Request, outcome: Alignment | StenoError) -> None:
    if request.future.done():
        return
    if isinstance(outcome, StenoError):
        request.future.set_exception(outcome)
    else:
        request.future.set_result(outcome)
