"""Options of a session."""

from __future__ import annotations

from dataclasses import dataclass, field

from steno.vad.config import SegmenterConfig


@dataclass(frozen=True, slots=True)
class SessionConfig:
    segmenter: SegmenterConfig = field(default_factory=SegmenterConfig)
    step_s: float = 0.48
    """New audio after which the next partial is due."""
    hold_s: float = 1.0
    """See `LocalAgreement`."""
    offset_s: float = 0.0
    """Time of the first sample on the stream's clock."""
    speculate_ms: float | None = None
    """Pause after which the final is recognised speculatively (`StepRequest.speculative`); None = never. With it, all
    finals are recognised up to here in the pause after their last word, speculative or not: their text is the same."""
