"""Detects that recognition lags behind a stream's audio, and reports it at intervals."""

from __future__ import annotations

from steno.pipelines.live.notices import Lagging

LAG_S = 3.0
"""A stream lags if this much of its audio has no text."""
LAG_EVERY_S = 5.0
"""Min interval between two `Lagging` events."""
MAX_RTF = 100.0
"""Upper bound of the reported real-time factor, which is infinite if nothing was recognised in the interval."""


class LagWatch:
    """Creates `Lagging` events for one stream."""

    def __init__(self) -> None:
        self._emitted_at = float("-inf")
        self._behind_since: tuple[float, float] | None = None
        """Start of the measured interval, and seconds of audio that had text then. None = not lagging."""

    def restart(self, now: float) -> None:
        """Ignore the lag up to now, and give the stream time to catch up: it waited for the model."""
        self._emitted_at, self._behind_since = now, None

    def check(self, now: float, received_s: float, behind_s: float) -> Lagging | None:
        done_s = received_s - behind_s
        if behind_s < LAG_S:
            self._behind_since = None
            return None
        if self._behind_since is None:
            self._behind_since = now, done_s
        began, began_s = self._behind_since
        if now - self._emitted_at < LAG_EVERY_S or now == began:
            return None
        self._emitted_at = now
        self._behind_since = now, done_s
        return Lagging(behind_s, min((now - began) / max(done_s - began_s, 0.001), MAX_RTF))
