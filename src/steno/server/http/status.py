"""Health, readiness and metrics. These routes load no model."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from steno import __version__
from steno.backends.base import Backend, RestartsItself, UsesDrafts, UsesGpu, UsesServers
from steno.engine.lifecycle import LifecycleState
from steno.engine.local import Engine
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
    gpu_name: str | None
    gpu_allocated_mb: float | None
    gpu_reserved_mb: float | None
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
    """Set from the crash of the recogniser's engine until it runs again: requests wait for it."""
    servers: list[VllmServerHealth] | None
    """The servers of `VLLM_BASE_URL`; null without them."""
    version: str
    uptime_s: float


class Ready(BaseModel):
    status: Literal["ready", "draining", "loading", "failed"]


@router.head("/health", include_in_schema=False)
@router.get("/health", tags=["status"])
async def health(services: ServicesDep) -> Health:
    """The server's state, model and device. Always 200 while the process can respond."""
    engine = services.engine
    backend = engine.backend
    state = engine.model_state
    gpu = backend.gpu() if isinstance(backend, UsesGpu) else None
    restarting = _restarting(backend)
    return Health(
        status=_status(engine),
        mode=_mode(backend),
        model_loaded=state is LifecycleState.READY and restarting is None,
        model_state=state,
        model_id=backend.model_id,
        backend=backend.name,
        device=backend.device,
        cuda=backend.device.startswith("cuda"),
        gpu_name=gpu.name if gpu else None,
        gpu_allocated_mb=gpu.allocated_mb if gpu else None,
        gpu_reserved_mb=gpu.reserved_mb if gpu else None,
        worker_alive=engine.worker_alive,
        active_requests=engine.active,
        queued_jobs=sum(engine.queue_depth().values()),
        loading=LoadProgress(done=engine.load_progress[0], what=engine.load_progress[1])
        if state is LifecycleState.LOADING
        else None,
        aligner_state=engine.aligner_state,
        aligner=engine.aligner.model_id if engine.aligner is not None else None,
        load_error=engine.load_failure,
        restarting=restarting,
        servers=_servers(backend),
        version=__version__,
        uptime_s=round(time.monotonic() - services.started, 3),
    )


@router.head("/ready", include_in_schema=False)
@router.get("/ready", tags=["status"], responses={503: {"model": Ready}})
async def ready(services: ServicesDep, response: Response) -> Ready:
    """Whether to send requests here: 503 while draining, and with `PRELOAD` until the model is loaded."""
    if services.engine.draining:
        response.status_code = 503
        return Ready(status="draining")
    if services.wait_for_model and not services.engine.has_been_loaded:
        response.status_code = 503
        return Ready(status="failed" if services.engine.load_failure else "loading")
    return Ready(status="ready")


@router.get("/metrics", tags=["status"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(services: ServicesDep) -> Response:
    """Prometheus' text format."""
    if services.jobs is not None:
        with suppress(JobStorageError):  # the other metrics are the more needed
            for state, count in (await services.jobs.store.states()).items():
                services.metrics.stored_jobs.labels(state).set(count)
    return Response(services.metrics.render(), media_type=services.metrics.content_type)


def _status(engine: Engine) -> Literal["ok", "draining", "degraded"]:
    if engine.draining:
        return "draining"
    is_healthy = engine.worker_alive and engine.load_failure is None and _restarting(engine.backend) is None
    return "ok" if is_healthy else "degraded"


def _restarting(backend: Backend) -> str | None:
    return backend.restarting() if isinstance(backend, RestartsItself) else None


def _mode(backend: Backend) -> str:
    if backend.name in EMBEDDED:
        return "embedded"
    if isinstance(backend, UsesDrafts | UsesServers):
        return backend.path
    return backend.name


def _servers(backend: Backend) -> list[VllmServerHealth] | None:
    if not isinstance(backend, UsesServers):
        return None
    return [
        VllmServerHealth(url=each.url, up=each.is_up, path=each.path, problem=each.problem)
        for each in backend.servers()
    ]
