"""What speakers are called: A, B, …, Z, AA, AB, …"""

from __future__ import annotations

from collections.abc import Sequence


def letters() -> Sequence[str]:
    """702 names, in order."""
    alphabet = [chr(ord("A") + n) for n in range(26)]
    return [*alphabet, *(first + second for first in alphabet for second in alphabet)]
