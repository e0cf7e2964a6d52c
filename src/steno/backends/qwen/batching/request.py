"""A request: one pass of one piece of work through one model. (vLLM and nano-vllm call it a sequence.)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from steno.errors import BackendError

if TYPE_CHECKING:
    from steno.backends.base import Recognize
    from steno.backends.drafts import Ids
    from steno.backends.qwen.batching.slot_allocator import CachedUtterance
    from steno.backends.qwen.model.audio_state import AudioState
    from steno.backends.qwen.model.sampling import SampledToken
    from steno.errors import StenoError
    from steno.types import Hypothesis


@dataclass(slots=True, eq=False)
class Request:
    """The parameters of one pass, and its progress through prefill and decoding."""

    work: Recognize
    """The engine's piece of work. Its result is returned under this identity, however many passes it takes."""
    params: Recognize
    """What this pass recognises: `work` with its context cleaned; in a second pass, without a context."""
    max_tokens: int
    """Max tokens of text."""
    proposed: Ids = ()
    """Another model's text of the same audio, to be verified as a draft."""
    is_trusted: bool = False
    """Whether a text of this utterance that repeats the context has been confirmed as spoken."""
    doubted: Hypothesis | None = None
    """In a second pass: the first pass's text, which repeats its context and may have leaked from it."""
    cached: CachedUtterance | None = None
    """The live utterance's cached state; None where the request stands alone."""
    audio_state: AudioState | None = None
    """None until the request's first prefill step."""
    slot: int | None = None
    """KV cache slot; None until one is allocated."""
    slot_class: int = 0
    """The class of slots that it needs at least."""
    draft: Ids = ()
    """Tokens that are expected to follow; the next forward pass verifies them."""
    forced: int = 0
    """Leading tokens of the draft that are chosen regardless of the model's logits."""
    preempted: Sequence[SampledToken] = ()
    """The text so far of a request that lost its slot: the first tokens of the draft, which are forced."""
    rejected_draft: tuple[Ids, int] | None = None
    """A draft that was rejected, and the index of the first wrong token."""
    rejections: int = 0
    """How often the model rejected a draft of this request."""
    tokens: list[int] = field(default_factory=list)
    """The text so far."""
    logprobs: list[float] = field(default_factory=list)
    """Log-probability of each of `tokens`."""
    loop_safe: int = 0
    """Leading tokens that loop removal must keep, because they are stable."""
    repetition: bool = False
    """Whether a repetition loop was cut."""
    diverged: bool = False
    """Whether the model would have chosen another token than a forced one."""
    passed_over: int = 0
    """Consecutive live batches for which this request waited."""
    gather_steps: int = 0
    """Steps for which this request waited for others, to share their prefill."""
    done: bool = False
    failure: StenoError | None = None

    @property
    def is_live(self) -> bool:
        return self.work.utterance is not None

    def next_pass(self, *, proposed: Ids = (), doubted: Hypothesis | None = None, **params: Any) -> Request:
        """A fresh request for the same work. `params`: fields of `params` that change."""
        return Request(
            self.work,
            replace(self.params, **params),
            self.max_tokens,
            proposed,
            is_trusted=self.is_trusted,
            doubted=self.doubted if doubted is None else doubted,
        )


def nan_error() -> StenoError:
    return BackendError("the model's output for this audio is NaN; DTYPE=float32 may avoid it")


def step_error() -> StenoError:
    return BackendError("the recogniser failed on this audio; the server's log has the reason")
