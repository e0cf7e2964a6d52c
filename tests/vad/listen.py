"""The shipped speech, as audio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from steno.audio.decode import decode

if TYPE_CHECKING:
    from steno.types import Audio

FIXTURES = Path(__file__).parents[1] / "fixtures"
RECORDINGS = sorted(json.loads((FIXTURES / "transcripts.json").read_text()))


def recording(name: str) -> Audio:
    return np.concatenate(list(decode(FIXTURES / name, max_seconds=None)))
