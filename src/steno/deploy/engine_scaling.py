"""How many engines are needed: by open live sessions and waiting jobs, because engines get no requests from Serve."""

from __future__ import annotations

import math
from typing import Any

from ray.serve.config import AutoscalingContext


class EngineScaling:
    """An autoscaling policy of Serve, which applies its delays and limits to the result.

    Args:
        sessions: live sessions per engine.
        jobs: waiting jobs per engine.
    """

    def __init__(self, sessions: int, jobs: int) -> None:
        self._sessions = sessions
        self._jobs = jobs

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        measured = context.aggregated_metrics or {}
        sessions = sum(measured.get("sessions", {}).values())
        jobs = sum(measured.get("jobs", {}).values())
        needed = max(math.ceil(sessions / self._sessions), math.ceil(jobs / self._jobs), 1)
        return needed, {}
