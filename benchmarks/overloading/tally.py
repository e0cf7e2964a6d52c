"""What clients met with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """What some clients met with until `ends` (`time.perf_counter`, which all processes share)."""

    ends: float
    served: int = 0
    refusals_s: list[float] = field(default_factory=list)
    """From opening the connection to all of the 429."""
    first_retries: list[bool] = field(default_factory=list)
    """Whether each client that retried in time was admitted."""
    failures: int = 0
    """Answers that were neither a transcript nor a 429, and connections that ended without any."""

    @property
    def is_over(self) -> bool:
        return time.perf_counter() >= self.ends

    def count(self, status: int, took_s: float) -> None:
        """One answer; status 0: there was none."""
        if status == 429:
            self.refusals_s.append(took_s)
        elif status == 200:
            self.served += not self.is_over
        else:
            self.failures += 1
