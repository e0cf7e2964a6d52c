"""Greedy sampling: logits → tokens with their log-probabilities, packed so that one copy brings them to the host."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F


class SampledToken(NamedTuple):
    """The token chosen behind one position of a slot."""

    token: int
    """The most probable token, or the one that was forced."""
    logprob: float
    """Log-probability of `token`."""
    argmax: int
    """The most probable token."""


def sample(logits: torch.Tensor, forced: torch.Tensor | None = None) -> torch.Tensor:
    """Choose a token at each position.

    Args:
        logits: shape [positions, vocabulary].
        forced: shape [positions]: a token, or -1 for the most probable one; None = -1 everywhere.

    Returns:
        int32 [3, positions]: tokens, the bits of their log-probabilities, the most probable tokens. See `unpacked`.
    """
    logits = logits.float()
    argmax = logits.argmax(-1)
    tokens = argmax if forced is None else torch.where(forced >= 0, forced, argmax)
    logprobs = -F.cross_entropy(logits, tokens, reduction="none")
    return torch.stack([tokens.int(), logprobs.view(torch.int32), argmax.int()])


def unpacked(packed: torch.Tensor) -> list[SampledToken]:
    """The tokens of `sample`, which are in host memory."""
    tokens, bits, argmax = packed.contiguous()
    return list(map(SampledToken, tokens.tolist(), bits.view(torch.float32).tolist(), argmax.tolist()))
