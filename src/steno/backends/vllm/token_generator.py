"""The seam between the backend and vLLM: token ids and feature windows in, token ids out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from steno.errors import BackendCrashedError

if TYPE_CHECKING:
    import torch

    from steno.backends.base import Progress, Recognize
    from steno.backends.drafts import Ids


class VllmPriority(IntEnum):
    """The priorities that requests get in vLLM's scheduler, which runs smaller values first."""

    LIVE_FINAL = 0
    LIVE_PARTIAL = 1
    UPLOAD = 2


def priority_of(work: Recognize) -> VllmPriority:
    if work.utterance is None:
        return VllmPriority.UPLOAD
    return VllmPriority.LIVE_FINAL if work.final else VllmPriority.LIVE_PARTIAL


@dataclass(frozen=True, slots=True, eq=False)
class FeatureWindow:
    """The features of one encoder window: an audio item of its own in the prompt."""

    features: torch.Tensor
    """Normalised log-mel, shape [bands, frames], float32, on the CPU."""

    @property
    def frames(self) -> int:
        return int(self.features.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class TokenRequest:
    """One prompt: token ids, the windows, token ids. The last of them are forced text."""

    before: Ids
    windows: tuple[FeatureWindow, ...]
    after: Ids
    max_tokens: int
    priority: VllmPriority
    work: Recognize
    """What the prompt was made of, for a server that takes no tokens, and for its utterance's key."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What vLLM generated for a request."""

    tokens: Ids
    """A stop token at the end included."""
    logprobs: tuple[float, ...]
    text: str | None = None
    """The whole text, from a server that gives no tokens; forced text is ignored there."""


class EngineCrashLoopError(BackendCrashedError):
    """vLLM's engine died several times without completing a request in between."""

    may_pass = False


class TokenGenerator(Protocol):
    """Runs token requests. Cancelling `generate` aborts the request."""

    async def start(self, progress: Progress) -> None:
        """Raises ModelLoadError, SettingsError."""

    async def stop(self) -> None:
        """Free all memory. No request may be running."""

    async def generate(self, request: TokenRequest) -> Generation:
        """
        Raises:
            BackendCrashedError: the engine died; it is started again, and the request may be repeated.
            BackendError: the request failed.
        """

    def forget(self, utterance: str) -> None:
        """The live utterance of this key has ended. No-op for unknown keys."""
