"""Which replicas of a deployment run, by a call to all of them.

Serve tells a replica nothing when it starts to stop it, and runs the destructor only after its last request, which a
live session never ends by itself. But a replica that is stopped leaves the list that handles have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from loguru import logger
from ray.exceptions import RayError
from ray.serve.exceptions import DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle

from steno.engine.worker.membership import LookupFailedError

CALL_S = 5.0


@dataclass(frozen=True, slots=True)
class Answers:
    values: tuple[Any, ...]
    is_complete: bool
    """Whether all replicas that Serve lists have answered."""


async def ask_all(replicas: DeploymentHandle, method: str) -> Answers:
    """Call `method` of all running replicas. None running is no error.

    Raises:
        LookupFailedError: the replicas did not answer in time, or Ray could not ask them.
    """
    try:
        call = replicas.broadcast(method)
        results = await call.results_async(timeout_s=CALL_S, return_exceptions=True)
    except DeploymentUnavailableError:
        return Answers((), is_complete=True)
    except (TimeoutError, RayError, RayServeException, RuntimeError) as error:
        # A handle whose router has not started yet raises RuntimeError.
        raise LookupFailedError(f"{method}: {str(error) or type(error).__name__}") from None
    values = tuple(result for result in results if not isinstance(result, BaseException))
    return Answers(values, is_complete=len(values) == len(results))


async def try_to_ask_all(replicas: DeploymentHandle, method: str) -> Answers:
    """As `ask_all`, for a loop that asks again. What goes wrong is no answer, and unless it is usual it is logged."""
    try:
        return await ask_all(replicas, method)
    except LookupFailedError:
        pass
    except Exception as error:  # noqa: BLE001 - the boundary of a task: logged, and tried again
        logger.opt(exception=error).error("asking the replicas for {} failed", method)
    return Answers((), is_complete=False)
