"""The status of several workers as that of one engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from steno.backends.base import SlotUsage
from steno.engine.lifecycle import LifecycleState
from steno.engine.protocol import EngineStatus, LaneStatus
from steno.engine.queue import Priority

_BEST_FIRST = (LifecycleState.READY, LifecycleState.LOADING)


def pool_status(
    workers: Sequence[EngineStatus], unloaded: EngineStatus, unplaced: int, lost: int, broken: str | None
) -> EngineStatus:
    """The status of all connected `workers` together.

    Args:
        unloaded: the status of a worker that is not loaded; it stands for the pool while none is connected.
        unplaced: jobs that wait for a worker.
        lost: how many workers were lost while they were used.
        broken: why no worker can recognise; None if one can.
    """
    if not workers:
        return replace(
            unloaded,
            queue_depth={Priority.INTERACTIVE: unplaced} if unplaced else {},
            is_working=False,
            restarting="no worker is connected",
            worker_restarts=lost,
            broken=broken,
        )
    depth: Counter[Priority] = Counter()
    for worker in workers:
        depth.update(worker.queue_depth)
    slots = [worker.slots for worker in workers if worker.slots is not None]
    aligners = [worker.aligner for worker in workers if worker.aligner is not None]
    return replace(
        workers[0],
        capacity=sum(worker.capacity for worker in workers),
        device=", ".join(sorted({worker.device for worker in workers})),
        recogniser=best_of([worker.recogniser for worker in workers]),
        aligner=best_of(aligners) if aligners else None,
        queue_depth=depth,
        running=sum(worker.running for worker in workers),
        live_sessions=sum(worker.live_sessions for worker in workers),
        live_wait_s=max(worker.live_wait_s for worker in workers),
        parallelism=sum(worker.parallelism for worker in workers),
        gpus=tuple(gpu for worker in workers for gpu in worker.gpus),
        slots=sum(slots, SlotUsage()) if slots else None,
        is_working=any(worker.is_working for worker in workers),
        broken=broken,
        failovers=sum(worker.failovers for worker in workers),
        restarting=None,
        worker_restarts=lost,
    )


def best_of(lanes: Sequence[LaneStatus]) -> LaneStatus:
    """The state of the lane that is closest to being loaded, with the loads and failures of all."""
    if not lanes:
        return LaneStatus()
    best = min(lanes, key=lambda lane: (_rank(lane), lane.failure is not None))
    loads, failures = sum(lane.loads for lane in lanes), sum(lane.failures for lane in lanes)
    return replace(best, loads=loads, failures=failures)


def _rank(lane: LaneStatus) -> int:
    return _BEST_FIRST.index(lane.state) if lane.state in _BEST_FIRST else len(_BEST_FIRST)
