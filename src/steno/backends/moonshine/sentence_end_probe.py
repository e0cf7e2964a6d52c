"""How sure Moonshine is that a sentence ends where its audio ends, by what its encoder makes of the silence behind the
last word, and by its punctuation.

The encoder attends to all of the audio, and its states of that silence tell ends from other pauses better than a model
made for it (`LEARNING_LOG.md`). A linear probe reads them; it fits the encoder in the wheel only (`data/README.md`).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PROBE = Path(__file__).parent / "data" / "sentence_end_probe.npz"
FRAMES = 5
"""Last states of the encoder, 24 ms each, whose mean is read: those of the silence behind the last word."""


class SentenceEndProbe(NamedTuple):
    """Logistic regressions: one on the mean of the last states, and one on its result and the punctuation."""

    weights: NDArray[np.float32]
    """Of the mean state. Shape [width]."""
    bias: float
    states: float
    """Weight of the log-odds that the states give."""
    punctuation: float
    """Weight of the log-odds of `closing_punctuation`."""
    offset: float

    @classmethod
    def load(cls) -> SentenceEndProbe:
        """The one that fits the encoder in the wheel."""
        with np.load(PROBE) as arrays:
            return cls(arrays["weights"], *(float(arrays[name]) for name in cls._fields[1:]))

    def log_odds(self, ending: NDArray[np.float32], punctuation: float | None) -> float:
        """Log-odds (natural) that a sentence ends.

        Args:
            ending: the encoder's last `FRAMES` states, shape [frames, width].
            punctuation: `closing_punctuation`; None counts as unsure.
        """
        by_states = float(ending.mean(axis=0) @ self.weights) + self.bias
        return self.states * by_states + self.punctuation * (punctuation or 0.0) + self.offset
