"""Speculative decoding: which part of a rejected draft is tried again. Shared by all backends that verify drafts."""

from __future__ import annotations

from typing import TypeAlias

Ids: TypeAlias = tuple[int, ...]

MIN_REST_TOKENS = 3
"""Min tokens of the rest of a draft for which another verification pass pays."""
SEARCH_TOKENS = 4
"""Max tokens behind the rejected one in which the continuation is searched."""


def rest_of(draft: Ids, at: int, correction: int, then: int) -> Ids:
    """The rest of a draft that may be right, after the model chose `correction` and `then` instead of `draft[at:]`.

    The model may have deleted tokens of the draft, inserted one, or substituted one. Empty if the rest is too short to
    pay for a verification pass.
    """
    matches = [at + n for n in range(1, SEARCH_TOKENS + 1) if draft[at + n - 1 : at + n + 1] == (correction, then)]
    matches += [at + n for n in (0, 1) if draft[at + n : at + n + 1] == (then,)]
    rest = draft[matches[0] + 1 :] if matches else ()
    return rest if len(rest) >= MIN_REST_TOKENS else ()
