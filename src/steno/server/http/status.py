"""Health, readiness and metrics. These routes load no model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from steno import __version__
from steno.backends.base import ServerStatus
from steno.engine.front_table import FrontTable, Head
from steno.engine.lifecycle import LifecycleState
from steno.engine.protocol import EngineStatus
from steno.errors import JobStorageError
from steno.server.services import Services, services_of

router = APIRouter()
EMBEDDED = ("moonshine", "sphinx")
ServicesDep = Annotated[Services, Depends(services_of)]


class LoadProgress(BaseModel):
    """Progress of loading the model."""

    done: float
    what: str


class VllmServerHealth(BaseModel):
    """A server that recognition is sent to."""

    url: str
    up: bool
    path: str | None
    """`generate` (exact) or `transcriptions`; null = not known yet."""
    problem: str | None


class FrontsHealth(BaseModel):
    """The processes that serve this port together."""

    expected: int
    running: int
    restarts: int
    """How often one died and was started again."""


class Health(BaseModel):
    status: Literal["ok", "draining", "degraded"]
    mode: str
    """`embedded` for moonshine and sphinx; for Qwen3-ASR `vllm`, `standard`, `speculative` or `dual`; `vllm-remote`, or
    `vllm-remote-transcriptions` where the servers lack the exact endpoint."""
    model_loaded: bool
    model_state: LifecycleState
    model_id: str
    backend: str
    device: str
    cuda: bool
    encoder: str | None
    """What runs the audio encoder of steno's own engine: `torch` (also after another one failed), `onnxruntime` or
    `tensorrt`. Null until the model is loaded, and with other backends; so are the next two."""
    precision: str | None
    """Of the language model's weights: `float32`, `bfloat16`, `float16`, `int8` or `fp8`."""
    cuda_graphs: bool | None
    """Whether decoding steps run as CUDA graphs; false also after a capture failed."""
    gpu_name: str | None
    gpu_allocated_mb: float | None
    gpu_reserved_mb: float | None
    """GPU memory is that of the first worker process; `/metrics` has all."""
    worker_alive: bool
    active_requests: int
    queued_jobs: int
    loading: LoadProgress | None
    aligner_state: LifecycleState | None
    """Null without an aligner: the recogniser gives word times itself, or `ALIGNER=none`."""
    aligner: str | None
    """The aligner's model id."""
    load_error: str | None
    """Why loading the model failed last; the log has the details."""
    restarting: str | None
    """Set from the crash of the recogniser's engine or worker process until it runs again: requests wait for it."""
    worker_restarts: int | None
    """How often the worker process was replaced; null without `GATEWAY_MODE`."""
    fronts: FrontsHealth | None
    """Null without `FRONTS`. `active_requests` and `queued_jobs` are those of all fronts."""
    servers: list[VllmServerHealth] | None
    """The servers of `VLLM_BASE_URL`; null without them."""
    version: str
    uptime_s: float


class Ready(BaseModel):
    status: Literal["ready", "draining", "loading", "failed"]
    reason: str | None = None
    """Why it failed."""


@router.head("/health", include_in_schema=False)
@router.get("/health", tags=["status"])
async def health(services: ServicesDep) -> Health:
    """The server's state, model and device. Always 200 while the process can respond."""
    engine = services.engine
    now = engine.status()
    runs = now.accelerations
    state = now.recogniser.state
    gpu = now.gpus[0] if now.gpus else None
    done, what = now.recogniser.progress
    return Health(
        status=_status(engine.draining, now),
        mode=_mode(engine.backend.name, now),
        model_loaded=state is LifecycleState.READY and now.restarting is None,
        model_state=state,
        model_id=engine.backend.model_id,
        backend=engine.backend.name,
        device=now.device,
        cuda=now.device.startswith("cuda"),
        encoder=runs.encoder if runs else None,
        precision=runs.precision if runs else None,
        cuda_graphs=runs.cuda_graphs if runs else None,
        gpu_name=gpu.name if gpu else None,
        gpu_allocated_mb=gpu.allocated_mb if gpu else None,
        gpu_reserved_mb=gpu.reserved_mb if gpu else None,
        worker_alive=now.is_working,
        active_requests=engine.total_active,
        queued_jobs=sum(now.queue_depth.values()),
        loading=LoadProgress(done=done, what=what) if state is LifecycleState.LOADING else None,
        aligner_state=now.aligner.state if now.aligner is not None else None,
        aligner=engine.aligner.model_id if engine.aligner is not None else None,
        load_error=now.recogniser.failure,
        restarting=now.restarting,
        worker_restarts=_worker_restarts(services.fronts, now),
        fronts=_fronts(services.fronts),
        servers=_servers(now.servers),
        version=__version__,
        uptime_s=round(time.monotonic() - services.started, 3),
    )


@router.head("/ready", include_in_schema=False)
@router.get("/ready", tags=["status"], responses={503: {"model": Ready}}, response_model_exclude_none=True)
async def ready(services: ServicesDep, response: Response) -> Ready:
    """Whether to send requests here: 503 while draining, and with `PRELOAD` until the model is loaded."""
    if services.engine.draining:
        response.status_code = 503
        return Ready(status="draining")
    now = services.engine.status()
    if now.broken is not None:
        response.status_code = 503
        return Ready(status="failed", reason=now.broken)
    if services.wait_for_model and not now.recogniser.loads:
        response.status_code = 503
        return Ready(status="failed" if now.recogniser.failure else "loading", reason=now.recogniser.failure)
    return Ready(status="ready")


@router.get("/metrics", tags=["status"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(services: ServicesDep) -> Response:
    """Prometheus' text format."""
    if services.jobs is not None:
        with suppress(JobStorageError):  # the other metrics are the more needed
            for state, count in (await services.jobs.store.states()).items():
                services.metrics.stored_jobs.labels(state).set(count)
    return Response(await services.metrics.render(), media_type=services.metrics.content_type)


def _status(is_draining: bool, now: EngineStatus) -> Literal["ok", "draining", "degraded"]:
    if is_draining:
        return "draining"
    problems = (now.broken, now.recogniser.failure, now.restarting)
    return "ok" if now.is_working and not any(problems) else "degraded"


def _worker_restarts(table: FrontTable | None, now: EngineStatus) -> int | None:
    """A front alone sees only deaths of workers that worked for it."""
    return table.head(Head.WORKER_DEATHS) if table is not None else now.worker_restarts


def _fronts(table: FrontTable | None) -> FrontsHealth | None:
    if table is None:
        return None
    expected, running, restarts = (table.head(field) for field in (Head.EXPECTED, Head.RUNNING, Head.RESTARTS))
    return FrontsHealth(expected=expected, running=running, restarts=restarts)


def _mode(backend: str, now: EngineStatus) -> str:
    return "embedded" if backend in EMBEDDED else now.path or backend


def _servers(servers: Sequence[ServerStatus] | None) -> list[VllmServerHealth] | None:
    if servers is None:
        return None
    return [VllmServerHealth(url=each.url, up=each.is_up, path=each.path, problem=each.problem) for each in servers]
