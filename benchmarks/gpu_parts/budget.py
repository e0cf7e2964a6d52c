"""The time of a run: what does not fit is left out, and the report says so."""

from __future__ import annotations

import time

from benchmarks.harness import Report


class Budget:
    """Counts down from its creation.

    Args:
        seconds: of the whole run.
        report: is told what is left out.
    """

    def __init__(self, seconds: float, report: Report) -> None:
        self._end = time.monotonic() + seconds
        self._report = report

    @property
    def left_s(self) -> float:
        return self._end - time.monotonic()

    def allows(self, what: str, needs_s: float) -> bool:
        """Whether `what`, which takes about `needs_s`, fits into what is left."""
        if self.left_s >= needs_s:
            return True
        self._report.note(f"left out: {what}: it takes about {needs_s:.0f} s, and {max(self.left_s, 0):.0f} s are left")
        return False

    def part(self, of: int) -> Budget:
        """One of `of` equal parts of what is left."""
        return Budget(self.left_s / of, self._report)
