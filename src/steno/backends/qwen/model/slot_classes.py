"""Classes of KV cache slots: most utterances fit into short slots, and a few long slots take the longest.

Importing this module does not import torch.
"""

from __future__ import annotations

from typing import NamedTuple

SHORT_LENGTH = 640
"""Positions of a short slot: 30 s of speech (about 16 tokens of prompt, 390 of audio, 100 of English text), with some
130 left for a context or denser text."""

LONG_SHARE = 8
"""One slot of so many is long at least, where memory does not suffice for more; on a GPU by default."""


class SlotClass(NamedTuple):
    """The slots of one length."""

    slots: int
    length: int
    """Max tokens of each slot, prompt and text together."""


class SlotCounts(NamedTuple):
    """How many slots there are."""

    total: int
    long: int
    """How many of `total` are long."""

    def classes(self, max_length: int) -> list[SlotClass]:
        """The classes, the shorter first, without empty ones. `max_length`: of long slots."""
        short = self.total - self.long if max_length > SHORT_LENGTH else 0
        both = [SlotClass(short, SHORT_LENGTH), SlotClass(self.total - short, max_length)]
        return [one for one in both if one.slots]


def least_long(total: int) -> int:
    """How many of `total` slots are long at least."""
    return max(1, total // LONG_SHARE)
