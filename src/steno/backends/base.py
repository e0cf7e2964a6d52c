"""The recogniser protocols: capabilities, the work that a backend takes, and the two kinds of backend.

- `AsyncBackend` batches by itself or decodes in other processes: `await` a call; cancel it to abort it.
- `StepBackend` is batched by the engine: `admit` work into slots, `step` all of them together.

Constructing a backend is cheap; `load` takes the time and the memory. A backend knows nothing of HTTP, formats or VAD.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from steno.errors import StenoError
from steno.types import Hypothesis

if TYPE_CHECKING:
    from steno.types import Audio

Progress: TypeAlias = Callable[[float, str], None]
"""Called with the progress of a load in [0, 1] and a description of the current activity. Thread-safe."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend supports. A request for anything else is refused before any audio is decoded."""

    languages: frozenset[str] | None
    """ISO 639-1 codes; None = any."""
    live: bool
    """Whether a growing utterance is decoded incrementally."""
    word_times: bool
    """Whether it returns word times; otherwise an aligner provides them."""
    context: bool
    """Whether it takes hot words or a prompt."""
    max_audio_s: float
    """Max audio per call, in seconds."""
    stream_context: bool = False
    """Whether a live utterance is recognised with the stream's earlier ones as context; finals run in order."""
    noise_confidence: float = 0.0
    """Where VAD detected hardly any speech, text below this confidence is dropped as a hallucination on noise."""
    final_silence_ms: float = 96.0
    """Silence behind the last word that a final needs; at most 96, where pauses are judged."""
    sentence_end: bool = False
    """Whether live finals have `Hypothesis.sentence_end`."""


@dataclass(frozen=True, slots=True, eq=False)
class Recognize:
    """A piece of work: recognise `audio`.

    A live utterance is submitted repeatedly under the same `utterance` key, each time with all of its audio so far. The
    backend caches its state until the `final` one is done or `forget` is called. Work without a key stands alone.

    A final may be speculative: if speech continues, it is cancelled, or more work follows under its key.
    """

    audio: Audio
    language: str | None = None
    """ISO 639-1; None = detect."""
    context: str = ""
    words: bool = False
    """Whether the caller wants word times."""
    utterance: str | None = None
    final: bool = True
    stream: str | None = None
    """The live stream of the utterance. A backend may keep its text as context for later utterances, until `forget` is
    called with this key."""
    stable: str = ""
    """Prefix that the text must start with: stable text of a live utterance, which has been emitted already."""


class Backend(Protocol):
    """What both kinds of backend have in common."""

    @property
    def name(self) -> str: ...

    @property
    def model_id(self) -> str: ...

    @property
    def device(self) -> str:
        """The device it runs on or will run on: `cpu`, `cuda:0`, …"""

    @property
    def capabilities(self) -> Capabilities: ...


@dataclass(frozen=True, slots=True)
class Gpu:
    """The GPU of a backend, and its memory, in MB."""

    name: str
    allocated_mb: float
    reserved_mb: float
    """Allocated, and kept for later allocations, by this process."""
    used_mb: float
    """By all processes."""
    total_mb: float


@runtime_checkable
class UsesGpu(Protocol):
    """A backend that may run on a GPU."""

    def gpu(self) -> Gpu | None:
        """None while no GPU is used. Cheap: called by `/health`."""


@runtime_checkable
class RestartsItself(Protocol):
    """A backend, or a part of one, whose engine is another process, which is started again when it has died."""

    def restarting(self) -> str | None:
        """What is happening to an engine that died; None while it runs or is not needed. Cheap: called by `/health`."""


@dataclass(frozen=True, slots=True)
class Drafts:
    """Draft tokens that were proposed and accepted."""

    proposed: int
    accepted: int


@runtime_checkable
class UsesDrafts(Protocol):
    """A backend with speculative decoding."""

    @property
    def path(self) -> str:
        """Where drafts come from: `standard` (the utterance's last text), `speculative` or `dual` (a draft model)."""

    def drafts(self) -> Drafts:
        """Counts so far. Cheap, and callable from any thread."""


SlotKind: TypeAlias = Literal["short", "long"]


@dataclass(frozen=True, slots=True)
class SlotUse:
    """The KV cache slots of one class, and what holds them."""

    kind: SlotKind
    active: int
    """By a piece of work that is being recognised."""
    idle: int
    """By a live utterance between its steps."""
    total: int


@dataclass(frozen=True, slots=True)
class SlotUsage:
    """The KV cache slots of a backend."""

    classes: tuple[SlotUse, ...] = ()
    """Empty until loaded."""
    preemptions: int = 0
    """Pieces of work so far that outgrew their slot while all longer ones were busy."""

    def __add__(self, other: SlotUsage) -> SlotUsage:
        return SlotUsage((*self.classes, *other.classes), self.preemptions + other.preemptions)

    def by_kind(self) -> list[SlotUse]:
        """One of each kind, with the sums of several models or processes."""
        uses = [[use for use in self.classes if use.kind == kind] for kind in get_args(SlotKind)]
        return [
            SlotUse(some[0].kind, sum(u.active for u in some), sum(u.idle for u in some), sum(u.total for u in some))
            for some in uses
            if some
        ]


@runtime_checkable
class UsesSlots(Protocol):
    """A backend whose KV cache has slots."""

    def slot_usage(self) -> SlotUsage:
        """Cheap, and callable from any thread."""


@dataclass(frozen=True, slots=True)
class Accelerations:
    """How a loaded model runs: what was asked for, or what is left of it where something could not start or failed."""

    encoder: str
    """What runs the audio encoder: `torch`, `onnxruntime` or `tensorrt`."""
    precision: str
    """Of the language model's weights: `float32`, `bfloat16`, `float16`, `int8` or `fp8`."""
    cuda_graphs: bool
    """Whether decoding steps are CUDA graphs."""


@runtime_checkable
class HasAccelerations(Protocol):
    """A backend whose model may run in several ways."""

    def accelerations(self) -> Accelerations | None:
        """How it runs now; None until loaded. Callable from any thread."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A server that a backend sends its work to."""

    url: str
    is_up: bool
    path: str | None
    """How it is used; None = not known yet."""
    requests: int
    """Sent so far."""
    problem: str | None
    """Why it is not up."""
    is_checked: bool = True
    """Whether that is known: not before it is used for the first time, nor while it is not used."""


@runtime_checkable
class UsesServers(Protocol):
    """A backend that recognises on other servers."""

    @property
    def path(self) -> str:
        """How they are used, for `/health`."""

    @property
    def failovers(self) -> int:
        """Requests so far that were sent to another server after one failed."""

    def servers(self) -> Sequence[ServerStatus]:
        """Cheap: called by `/health`."""


@runtime_checkable
class AsyncBackend(Backend, Protocol):
    """A backend that schedules by itself. Cancelling a call aborts it and leaves the backend usable."""

    @property
    def workers(self) -> int:
        """Max concurrent calls of uploads."""

    @property
    def live_workers(self) -> int:
        """Further concurrent calls for live work, so that a live stream does not wait for an upload."""

    async def load(self, progress: Progress) -> None: ...

    async def unload(self) -> None:
        """Free all memory. Called only while no call is running; `load` may follow."""

    async def recognize(self, work: Recognize) -> Hypothesis: ...

    def forget(self, utterance: str) -> None:
        """Drop the cache of a live utterance or stream that has no running call. No-op for unknown keys."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A piece of work that a step completed: its result, or its error."""

    work: Recognize
    outcome: Hypothesis | StenoError


@runtime_checkable
class StepBackend(Backend, Protocol):
    """A backend that the engine batches. All calls come from one thread, never two at once."""

    @property
    def slots(self) -> int: ...

    def load(self, progress: Progress) -> None: ...

    def unload(self) -> None: ...

    def admit(self, work: Recognize) -> None:
        """Take `work` into a free slot. Cheap: the computation happens in `step`."""

    def step(self) -> Sequence[Finished]:
        """One prefill chunk or one decode iteration over all occupied slots.

        If it raises, all admitted work has failed; the engine releases it.
        """

    def release(self, work: Recognize) -> None:
        """Drop unfinished work that was cancelled, timed out or failed. No-op for work that is not admitted."""

    def forget(self, utterance: str) -> None: ...
