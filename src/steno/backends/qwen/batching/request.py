"""One hearing of one clip, on its way through a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steno.errors import BackendError

if TYPE_CHECKING:
    from steno.backends.qwen.batching.runner import ModelRunner
    from steno.backends.qwen.batching.slot_allocator import CachedUtterance
    from steno.backends.qwen.model.audio_state import AudioState
    from steno.backends.qwen3_asr.prompt import Ids
    from steno.errors import StenoError
    from steno.types import Audio


@dataclass(frozen=True, slots=True, eq=False)
class RequestParams:
    """What is to be heard, and what is expected."""

    audio: Audio
    context: str
    """Clean."""
    language: str | None
    limit: int
    """Tokens of text at most."""
    live: bool = False
    """Whether somebody watches."""
    utterance: str | None = None
    """The live utterance that it belongs to, and whose earlier steps serve it."""
    final: bool = True
    stable: str = ""
    """With what the text begins, whatever the model thinks now."""
    draft: Ids = ()
    """Somebody else's text of it."""


@dataclass(slots=True, eq=False)
class Request:
    """A hearing and how far it has come."""

    hearing: RequestParams
    runner: ModelRunner
    kept: CachedUtterance | None
    sound: AudioState | None = None
    slot: int | None = None
    draft: Ids = ()
    """What is expected to follow; verified with the next pass."""
    forced: int = 0
    """So much of it is right whatever the model thinks."""
    broken: tuple[Ids, int] | None = None
    """A draft that was wrong, and where."""
    mistakes: int = 0
    """Places where its drafts were wrong."""
    tokens: list[int] = field(default_factory=list)
    certainty: list[float] = field(default_factory=list)
    kept_from_loops: int = 0
    """Tokens that stay although they repeat themselves: they are stable."""
    repetition: bool = False
    """Whether a repetition loop was cut."""
    diverged: bool = False
    """Whether the model would have written something else than what is stable."""
    passed_over: int = 0
    """Batches of live rows that it had to wait for."""
    gathered: int = 0
    """Iterations that it waited for others, to be filled in together."""
    done: bool = False
    failure: StenoError | None = None

    @property
    def is_live(self) -> bool:
        return self.hearing.live


def no_numbers() -> StenoError:
    return BackendError("the model computed no numbers for this audio; DTYPE=float32 may mend it")


def lost() -> StenoError:
    return BackendError("the recogniser failed on this audio; the server's log has the reason")
