"""What a recogniser is: its capabilities, the work it takes, and the two protocols behind which it stands.

- `AsyncBackend` batches by itself or decodes in other processes: `await` a call, cancel it to abort it.
- `StepBackend` leaves the batching to the engine: `admit` work into slots, `step` all of them together.

Constructing a backend is free; `load` is where the weight is. A backend knows nothing of HTTP, formats or VAD.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from steno.errors import StenoError
from steno.types import Hypothesis

if TYPE_CHECKING:
    from steno.types import Audio

Progress: TypeAlias = Callable[[float, str], None]
"""Called with the part of a load that is done, in [0, 1], and a word on what is being done. Thread-safe."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do. What it lacks is refused by name, before any audio is decoded."""

    languages: frozenset[str] | None
    """ISO 639-1 codes; None = any."""
    live: bool
    """Decodes a growing utterance without starting over at each step."""
    word_times: bool
    """Times its words itself; for others an aligner does."""
    context: bool
    """Takes hot words or a prompt."""
    max_audio_s: float
    """The longest piece that one call takes."""
    stream_context: bool = False
    """Recognises a live utterance behind those before it in its stream: its finals have to come one after another."""
    noise_confidence: float = 0.0
    """Where the VAD found hardly any speech, text with less confidence than this is what the model writes for noise."""


@dataclass(frozen=True, slots=True, eq=False)
class Recognize:
    """Turn `audio` into text.

    A live utterance is sent again and again under the same `utterance` key, each time with all of its audio so
    far; the backend keeps what it has of it until `final` is done or `forget` is called. Without a key the work
    stands alone.
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
    """The live stream that the utterance belongs to. A backend may keep what was said in it, until `forget` is called
    with this key, to recognise better what follows."""
    stable: str = ""
    """With what a live utterance's text has to begin, whatever the audio says now: the reader has been told so."""


class Backend(Protocol):
    """What both kinds share."""

    @property
    def name(self) -> str: ...

    @property
    def model_id(self) -> str: ...

    @property
    def device(self) -> str:
        """`cpu`, `cuda:0`, …: where it runs or would run."""

    @property
    def capabilities(self) -> Capabilities: ...


@dataclass(frozen=True, slots=True)
class Gpu:
    """What a backend runs on, and the memory that it has taken of it, in MB."""

    name: str
    allocated_mb: float
    reserved_mb: float


@runtime_checkable
class UsesGpu(Protocol):
    """A backend that may run on a GPU."""

    def gpu(self) -> Gpu | None:
        """None while nothing of it is on one. Cheap: `/health` asks."""


@dataclass(frozen=True, slots=True)
class Drafts:
    """Tokens that were expected, and those of them that were right."""

    proposed: int
    accepted: int


@runtime_checkable
class UsesDrafts(Protocol):
    """A backend that checks expected texts in place of writing them token by token."""

    @property
    def path(self) -> str:
        """How: `standard` (a live utterance's last text), `speculative` or `dual` (a small model's)."""

    def drafts(self) -> Drafts:
        """Cheap, and callable from any thread."""


@runtime_checkable
class AsyncBackend(Backend, Protocol):
    """A backend that schedules by itself. Cancelling a call aborts it and leaves the backend usable."""

    @property
    def workers(self) -> int:
        """How many calls it runs well at once."""

    @property
    def live_workers(self) -> int:
        """How many more it takes for live work, so that a live stream need not wait for an upload's piece."""

    async def load(self, progress: Progress) -> None: ...

    async def unload(self) -> None:
        """Give all memory back. Nothing is running when it is called; `load` may follow."""

    async def recognize(self, work: Recognize) -> Hypothesis: ...

    def forget(self, utterance: str) -> None:
        """Drop what is kept of a live utterance or stream, of which nothing is running. Unknown keys are fine."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A piece of work that a step completed: its result, or the error that befell it alone."""

    work: Recognize
    outcome: Hypothesis | StenoError


@runtime_checkable
class StepBackend(Backend, Protocol):
    """A backend whose batching the engine does. All calls come from one thread, never two at once."""

    @property
    def slots(self) -> int: ...

    def load(self, progress: Progress) -> None: ...

    def unload(self) -> None: ...

    def admit(self, work: Recognize) -> None:
        """Take `work` into a free slot. Cheap: what costs happens in `step`."""

    def step(self) -> Sequence[Finished]:
        """One prefill chunk or one decode iteration over all occupied slots.

        If it raises, all work in slots has failed; the engine releases it.
        """

    def release(self, work: Recognize) -> None:
        """Drop unfinished work: it was cancelled, timed out or failed. Work that is in no slot is fine."""

    def forget(self, utterance: str) -> None: ...
