"""What dialects share in reading frames and writing numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def object_of(frame: str) -> Mapping[str, Any] | None:
    """The JSON object that a text frame holds, or None: it holds something else."""
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def rounded(seconds: float) -> float:
    """Seconds as they go over the wire: where the end of one range is the start of the next, it stays so."""
    return round(seconds, 4)
