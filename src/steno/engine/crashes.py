"""Retries work whose child process died, in a fresh process, until the job's deadline."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger

from steno.engine.queue import Job, Result
from steno.errors import BackendCrashedError

CRASH_PAUSES_S = (0.1, 0.5, 1.0, 2.0, 4.0)
"""Pauses before each retry. They are few: audio that crashes every process must not occupy a worker until its request
times out."""
CRASH_RETRY_S = 5.0


async def call_with_retries(call: Callable[[Any], Awaitable[Result]], job: Job) -> Result:
    """Call, and retry after a crash, until the job's deadline or six tries have failed.

    Raises:
        BackendCrashedError: all tries failed. A partial is not retried: a newer one follows.
    """
    loop = asyncio.get_running_loop()
    for tries, pause_s in enumerate((*CRASH_PAUSES_S, math.inf), 1):
        try:
            return await call(job.work)
        except BackendCrashedError as error:
            if job.is_partial or not error.may_pass or loop.time() + pause_s >= job.deadline:
                text = f"{error.message}; tries: {tries}; send it again later"
                raise BackendCrashedError(text, retry_after_s=CRASH_RETRY_S) from None
            logger.warning("{}; next try in {:g} s", error.message, pause_s)
        await asyncio.sleep(pause_s)
    raise AssertionError("the last pause is longer than any job's time")
