"""Health, readiness and metrics. None of these loads anything."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from steno import __version__
from steno.backends.base import Backend, UsesDrafts, UsesGpu
from steno.engine.engine import Engine
from steno.engine.lifecycle import LifecycleState
from steno.server.services import Services, services_of

router = APIRouter()
EMBEDDED = ("moonshine", "sphinx")
With = Annotated[Services, Depends(services_of)]


class LoadProgress(BaseModel):
    """How far the model's loading has come."""

    done: float
    what: str


class Health(BaseModel):
    status: Literal["ok", "draining", "degraded"]
    mode: str
    """`embedded` for moonshine and sphinx; of Qwen3-ASR which way it goes: `standard`, `speculative` or `dual`."""
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
    """Null where there is no aligner: the recogniser times its words itself, or `ALIGNER=none`."""
    aligner: str | None
    """Its model."""
    load_error: str | None
    """Why the model could not be loaded the last time; the log has the details."""
    version: str
    uptime_s: float


class Ready(BaseModel):
    status: Literal["ready", "draining", "loading", "failed"]


@router.head("/health", include_in_schema=False)
@router.get("/health", tags=["status"])
async def health(services: With) -> Health:
    """Whether the server works, and on what. Always 200 while the process can answer."""
    engine = services.engine
    backend = engine.backend
    state = engine.model_state
    gpu = backend.gpu() if isinstance(backend, UsesGpu) else None
    return Health(
        status=_status(engine),
        mode=_mode(backend),
        model_loaded=state is LifecycleState.READY,
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
        version=__version__,
        uptime_s=round(time.monotonic() - services.started, 3),
    )


@router.head("/ready", include_in_schema=False)
@router.get("/ready", tags=["status"], responses={503: {"model": Ready}})
async def ready(services: With, response: Response) -> Ready:
    """Whether to send requests here: 503 while draining, or until a model that is loaded at the start is there."""
    if services.engine.draining:
        response.status_code = 503
        return Ready(status="draining")
    if services.wait_for_model and not services.engine.has_been_loaded:
        response.status_code = 503
        return Ready(status="failed" if services.engine.load_failure else "loading")
    return Ready(status="ready")


@router.get("/metrics", tags=["status"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(services: With) -> Response:
    """Prometheus' text format."""
    return Response(services.metrics.render(), media_type=services.metrics.content_type)


def _status(engine: Engine) -> Literal["ok", "draining", "degraded"]:
    if engine.draining:
        return "draining"
    return "ok" if engine.worker_alive and engine.load_failure is None else "degraded"


def _mode(backend: Backend) -> str:
    if backend.name in EMBEDDED:
        return "embedded"
    if isinstance(backend, UsesDrafts):
        return backend.path
    return backend.name
