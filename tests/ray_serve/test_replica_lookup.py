"""Asking all replicas of a deployment when Ray fails."""

from __future__ import annotations

from typing import Any

import pytest
from ray.exceptions import RaySystemError
from ray.serve.exceptions import DeploymentUnavailableError, RayServeException

from steno.deploy.replica_lookup import Answers, ask_all, try_to_ask_all
from steno.engine.worker.membership import LookupFailedError


class BrokenHandle:
    """A deployment's handle whose calls fail."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def broadcast(self, method: str) -> Any:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Router is not initialized"),
        RayServeException("no deployment"),
        RaySystemError("down"),
        TimeoutError(),
    ],
)
async def test_what_ray_raises_is_a_look_up_that_failed(error: Exception, logs: list[str]) -> None:
    with pytest.raises(LookupFailedError, match=r"^name: "):
        await ask_all(BrokenHandle(error), "name")
    assert await try_to_ask_all(BrokenHandle(error), "name") == Answers((), is_complete=False)
    assert logs == []


async def test_a_deployment_without_replicas_answers() -> None:
    unavailable = BrokenHandle(DeploymentUnavailableError("Engine"))
    assert await try_to_ask_all(unavailable, "endpoint") == Answers((), is_complete=True)


async def test_an_unexpected_error_is_logged_and_ends_no_loop(logs: list[str]) -> None:
    assert await try_to_ask_all(BrokenHandle(KeyError("name")), "name") == Answers((), is_complete=False)
    assert len([line for line in logs if line.startswith("ERROR asking the replicas for name failed")]) == 1
