"""The shipped speech, as audio."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from steno.audio.decode import decode

if TYPE_CHECKING:
    from steno.types import Audio

FIXTURES = Path(__file__).parents[1] / "fixtures"
RECORDINGS = sorted(json.loads((FIXTURES / "transcripts.json").read_text()))


@functools.cache
def recording(name: str) -> Audio:
    """Read-only: tests share it."""
    audio = np.concatenate(list(decode(FIXTURES / name, max_seconds=None)))
    audio.flags.writeable = False
    return audio
