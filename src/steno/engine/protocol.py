"""What the engine needs from whatever runs its jobs: a client of lanes in this process, in a worker process, or in
several.

The engine (`front.py`) admits requests and owns their tickets. An `EngineClient` runs the jobs: it has the models, the
queues and the schedulers, or talks to the process that has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from steno.backends.base import Accelerations, Backend, Capabilities, Drafts, Gpu, ServerStatus, SlotUsage
from steno.engine.lifecycle import LifecycleState
from steno.engine.queue import Job, Priority

if TYPE_CHECKING:
    from steno.backends.aligners.base import Aligner


class Lease(IntEnum):
    """What a request or session holds while it is open."""

    RECOGNISER = 0
    """The recogniser stays loaded."""
    ALIGNER = 1
    """The aligner stays loaded."""
    LIVE = 2
    """A live session is open; workers are reserved for it."""


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """What is known of a recogniser before it is loaded."""

    name: str
    model_id: str
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class AlignerInfo:
    """What is known of an aligner before it is loaded."""

    name: str
    model_id: str
    languages: frozenset[str]
    workers: int
    max_audio_s: float

    @classmethod
    def of(cls, aligner: Aligner) -> AlignerInfo:
        return cls(aligner.name, aligner.model_id, aligner.languages, aligner.workers, aligner.max_audio_s)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What is served."""

    backend: BackendInfo
    aligner: AlignerInfo | None

    @classmethod
    def of(cls, backend: Backend, aligner: Aligner | None) -> EngineInfo:
        recogniser = BackendInfo(backend.name, backend.model_id, backend.capabilities)
        return cls(recogniser, AlignerInfo.of(aligner) if aligner is not None else None)


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """A model's state."""

    state: LifecycleState = LifecycleState.UNLOADED
    progress: tuple[float, str] = (0.0, "")
    """Of its load: a share in [0, 1], and what is being done."""
    failure: str | None = None
    """Why the last load failed; None if it did not."""
    loads: int = 0
    """Number of successful loads."""
    failures: int = 0
    """Number of failed loads."""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """A snapshot of the lanes, for admission, `/health` and metrics."""

    capacity: int
    """How many upload jobs run at once."""
    device: str
    recogniser: LaneStatus = LaneStatus()
    aligner: LaneStatus | None = None
    queue_depth: Mapping[Priority, int] = field(default_factory=dict)
    running: int = 0
    """Jobs that the recogniser works on now."""
    live_sessions: int = 0
    """Open live sessions of all server processes that it works for."""
    live_wait_s: float = 0.0
    """How long the oldest live job has been waiting."""
    parallelism: int = 1
    """How many jobs of live sessions run at once."""
    shares_steps: bool = False
    """Whether the backend batches all work into common steps, where a session may cost nothing."""
    is_working: bool = True
    """Whether the schedulers run."""
    broken: str | None = None
    """Why the process can recognise nothing until it is started again."""
    path: str | None = None
    """Which path of its backend recognises, where it has several."""
    accelerations: Accelerations | None = None
    """How the model runs, where there is a choice; None until loaded."""
    gpus: tuple[Gpu, ...] = ()
    """Those of the recogniser; of all worker processes."""
    drafts: Drafts | None = None
    slots: SlotUsage | None = None
    """Those of the recogniser's KV cache."""
    servers: tuple[ServerStatus, ...] | None = None
    failovers: int = 0
    restarting: str | None = None
    """What is happening to an engine or worker process that died."""
    worker_restarts: int | None = None
    """How often the worker process was replaced; None = there is none."""


class EngineClient(Protocol):
    """Runs jobs. Use it on one event loop."""

    @property
    def info(self) -> EngineInfo: ...

    def status(self) -> EngineStatus:
        """Cheap: called for each request."""

    async def start(self) -> None: ...

    async def stop_working(self) -> None:
        """Abort running jobs. The engine settles those that still wait."""

    async def aclose(self) -> None:
        """Unload the models and end. No job is pending."""

    def put(self, job: Job) -> None:
        """Run `job`, and settle it. Its model is loaded, or `ready` was called.

        Raises:
            DrainingError: `stop_working` was called; the job's future is cancelled.
            OverloadedError: the queue is full; the job's future is cancelled.
        """

    def settled(self, job: Job) -> None:
        """The job's future is done: remove the job from the queue, or abort it."""

    def forget(self, utterance: str) -> None:
        """Let the backend drop its cache of a live utterance or stream, once none of its work is running."""

    async def ready(self, *, aligner: bool) -> None:
        """Load the recogniser, or the aligner, and return once it is loaded. The caller bounds the wait.

        Raises:
            ModelLoadError: it could not be loaded.
        """

    def start_loading_aligner(self) -> LaneStatus:
        """Start loading the aligner if it is not loaded. Never waits.

        Raises:
            ModelLoadError: its load failed a moment ago.
        """

    def hold(self, lease: Lease) -> AbstractContextManager[None]:
        """Hold `lease` while the context is open."""

    def wake(self) -> None:
        """A session ended: its reserved capacity may be used."""
