"""Qwen3-ASR with random weights and scripted tokens: everything is computed, then the sampled tokens are replaced.

Random weights emit no end token and no text. The script has three tokens per second, as English speech has, of which
each step revises the last three, as real partials do (about three in five tokens of a draft that short are accepted,
measured on a trained checkpoint); every third step also inserts, deletes or substitutes a token further back. Tokens
that are a second older are stable.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from steno.backends.base import Recognize
from steno.backends.drafts import Ids
from steno.backends.qwen.batching.request import Request
from steno.backends.qwen.batching.runner import ModelRunner
from steno.backends.qwen.model.model import AsrModel
from steno.backends.qwen.model.sampling import SampledToken
from steno.backends.qwen.model.slot_classes import SlotClass
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

TOKENS_PER_S, REVISED = 3, 3
END = 1
SLOT_TOKENS = 4096
MAX_TOKENS = 10_000


def script(seconds: float) -> list[int]:
    """The tokens after so much audio: the last ones differ at each step, and sometimes one before them."""
    count = round(TOKENS_PER_S * seconds)
    steady = random.Random(0).choices(range(2, 200), k=count)
    chance = random.Random(count)
    said = steady[: max(count - REVISED, 0)] + chance.choices(range(2, 200), k=min(REVISED, count))
    at = count - REVISED - 2
    if at > 0 and count % 3 == 0:
        said[at : at + chance.randrange(2)] = chance.choices(range(2, 200), k=chance.randrange(2))
    return said


def new_request(audio: Audio, utterance: str | None = None, *, final: bool = True) -> Request:
    """A request in English without a context; live with an `utterance`."""
    work = Recognize(audio, "en", utterance=utterance, final=final)
    return Request(work, work, MAX_TOKENS)


class Scripted(ModelRunner):
    """A runner around a loaded checkpoint.

    Args:
        loaded: the checkpoint.
        slots: max requests in the KV cache.
        tokens: that a slot can hold.
    """

    def __init__(self, loaded: Any, slots: int, tokens: int = SLOT_TOKENS, *, incremental: bool = True) -> None:
        model = AsrModel(loaded, [SlotClass(slots, tokens)])
        model.stop_token_ids = frozenset({END})
        super().__init__(model, incremental=incremental)

    def _expected(self, request: Request) -> tuple[Ids, int]:
        """The expected tokens, as the session would give them as text."""
        draft, _ = super()._expected(request)
        return draft, max(len(draft) - REVISED - 1 - TOKENS_PER_S, 0)

    def _take(self, request: Request, sampled: Iterable[SampledToken]) -> list[Request]:
        said = script(len(request.params.audio) / SAMPLE_RATE)
        tokens = [*said[len(request.tokens) :], END]
        replaced = [SampledToken(token, 0.0, token) for token, _ in zip(tokens, sampled, strict=False)]
        return super()._take(request, replaced)
