"""How long a message comes after what it is about: stream latency, reading, thinking and typing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LAG_FROM_S, LAG_TO_S = 2.0, 12.0
LAG_SHAPES, LAG_MEANS_S = (1.5, 2.0, 3.0, 4.0), (4.0, 5.0, 6.0, 7.0, 8.0)
"""The data choose. A late mean with a high shape is that of quotes from the middle of a sentence."""
_RESOLUTION_S = 0.05


@dataclass(frozen=True, slots=True)
class ReactionLag:
    """Density of the lag: a Gamma distribution from `LAG_FROM_S` on, cut off at `LAG_TO_S`."""

    mean_s: float = 6.0
    """Before the cut-off."""
    shape: float = 2.0

    def density(self, lag_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Per second; of any shape."""
        late = np.maximum(lag_s - LAG_FROM_S, 0.0)
        inside = (lag_s > LAG_FROM_S) & (lag_s < LAG_TO_S)
        rising: NDArray[np.float64] = np.where(inside, late ** (self.shape - 1) * np.exp(-late / self._scale_s), 0.0)
        return rising / self._mass()

    def bins(self, step_s: float) -> NDArray[np.float64]:
        """Mean density of the bins `[k, k + 1) * step_s` from lag 0 to `LAG_TO_S`."""
        count = round(LAG_TO_S / step_s)
        inner = max(1, round(step_s / _RESOLUTION_S))
        times = (np.arange(count * inner) + 0.5) * step_s / inner
        means: NDArray[np.float64] = self.density(times).reshape(count, inner).mean(axis=1)
        return means

    @property
    def _scale_s(self) -> float:
        return (self.mean_s - LAG_FROM_S) / self.shape

    def _mass(self) -> float:
        times = np.arange(LAG_FROM_S, LAG_TO_S, _RESOLUTION_S) + _RESOLUTION_S / 2
        late = times - LAG_FROM_S
        return float(np.sum(late ** (self.shape - 1) * np.exp(-late / self._scale_s)) * _RESOLUTION_S)


REACTION_LAGS = tuple(ReactionLag(mean, shape) for mean in LAG_MEANS_S for shape in LAG_SHAPES)
