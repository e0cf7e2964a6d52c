"""Work whose process died: it is tried again in a fresh one while there is time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger

from steno.engine.queue import Job, Result
from steno.errors import BackendCrashedError

CRASH_PAUSES_S = (0.1, 0.5, 1.0, 2.0, 4.0)
"""Before work whose process died is tried again. A piece that kills every process must not hold a worker for as long as
its request may take."""
CRASH_RETRY_S = 5.0


async def until_it_lives(call: Callable[[Any], Awaitable[Result]], job: Job) -> Result:
    """The result of `call` for the job's work, tried again where it died, until the time is up or six tries failed.

    Raises:
        BackendCrashedError: the work is to be sent again later. A partial is not tried again: a newer one comes.
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
