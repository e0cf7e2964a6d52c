"""How many engines the autoscaling policy asks for."""

from __future__ import annotations

import pytest
from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve.config import AutoscalingContext

from steno.deploy.engine_scaling import EngineScaling

ENGINE = DeploymentID("Engine", "steno")


def context(sessions: tuple[float, ...], jobs: tuple[float, ...]) -> AutoscalingContext:
    replicas = [ReplicaID(str(n), ENGINE) for n in range(len(sessions))]
    return AutoscalingContext(
        deployment_id=ENGINE, deployment_name="Engine", app_name="steno", current_num_replicas=len(replicas),
        target_num_replicas=len(replicas), running_replicas=replicas, total_num_requests=0, total_queued_requests=0,
        aggregated_metrics={"sessions": dict(zip(replicas, sessions, strict=True)),
                            "jobs": dict(zip(replicas, jobs, strict=True))},
        raw_metrics=None, capacity_adjusted_min_replicas=1, capacity_adjusted_max_replicas=9, policy_state={},
        last_scale_up_time=None, last_scale_down_time=None, current_time=0.0, config=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sessions", "jobs", "needed"),
    [
        ((0, 0), (0, 0), 1),
        ((10, 0), (0, 0), 1),
        ((10, 1), (0, 0), 2),
        ((10, 10), (0, 0), 2),
        ((10, 11), (0, 0), 3),
        ((0, 0), (3, 2), 2),
        ((25, 0), (9, 0), 3),
        ((), (), 1),
    ],
)
def test_engines_are_needed_by_sessions_or_by_jobs(
    sessions: tuple[float, ...], jobs: tuple[float, ...], needed: int
) -> None:
    assert EngineScaling(sessions=10, jobs=4)(context(sessions, jobs))[0] == needed
