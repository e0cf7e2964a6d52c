"""Whether a stream has fallen behind, and when to say so."""

from __future__ import annotations

from steno.pipelines.live.notices import Lagging

LAG_S = 3.0
"""A client for whom there is no text for so long is told …"""
LAG_EVERY_S = 5.0
"""… and again after this."""


MAX_RTF = 100.0
"""Where nothing was recognised in between, the factor is no number."""


class LagWatch:
    """Says when a stream has fallen behind, and not too often."""

    def __init__(self) -> None:
        self._told_at = float("-inf")
        self._since: tuple[float, float] | None = None
        """When it fell behind, and how much audio had its text then."""

    def look(self, now: float, received_s: float, behind_s: float) -> Lagging | None:
        done_s = received_s - behind_s
        if behind_s < LAG_S:
            self._since = None
            return None
        if self._since is None:
            self._since = now, done_s
        began, began_s = self._since
        if now - self._told_at < LAG_EVERY_S or now == began:
            return None
        self._told_at = now
        self._since = now, done_s
        return Lagging(behind_s, min((now - began) / max(done_s - began_s, 0.001), MAX_RTF))
