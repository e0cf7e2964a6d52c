"""What of a draft may still be right behind its first mistake. Shared by all backends that verify drafts."""

from __future__ import annotations

from typing import TypeAlias

Ids: TypeAlias = tuple[int, ...]

WORTH_TRYING = 3
"""Tokens of a draft, behind one that was wrong, for which another pass pays."""
NEAR = 4
"""Tokens among which the place is looked for where a wrong draft goes on."""


def rest_of(draft: Ids, at: int, wrote: int, then: int) -> Ids:
    """What of a draft may still come, where the model wrote the two tokens `wrote` and `then` in place of `draft[at:]`.

    The model may have left tokens of the draft out, put one in, or put one in another's place. Empty where the rest is
    too short to pay for a pass.
    """
    places = [at + n for n in range(1, NEAR + 1) if draft[at + n - 1 : at + n + 1] == (wrote, then)]
    places += [at + n for n in (0, 1) if draft[at + n : at + n + 1] == (then,)]
    rest = draft[places[0] + 1 :] if places else ()
    return rest if len(rest) >= WORTH_TRYING else ()
