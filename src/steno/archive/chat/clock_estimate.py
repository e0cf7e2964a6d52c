"""Finds the recording's clock for a chat: offset, steps and drift, or that there is no clear answer.

1. Words that chat and transcript share, and message density against speech activity and loudness, give a log-likelihood
   ratio for each block of the chat and each offset of a wide window (`offset_evidence`).
2. Dynamic programming finds the best offset for each block, with a penalty for steps (`offset_path`).
3. The same is done for circular shifts of the chat. They have its words, bursts and silences, but no relation to the
   recording: the score must stand out of theirs (surrogates: Theiler et al. 1992, doi 10.1016/0167-2789(92)90102-S).
4. Offsets, drift, reaction lag and the places of the steps are fitted (`offset_fit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from steno.archive.chat.chat_message import ChatMessage
from steno.archive.chat.clock_anchors import clock_by_anchors, pin_to_anchors, require_anchors
from steno.archive.chat.offset_evidence import STEP_S, OffsetEvidence, OffsetGrid, messages_in_reach
from steno.archive.chat.offset_fit import OffsetFit, OffsetStretch, fit_offsets, stretches_of
from steno.archive.chat.offset_path import best_path, best_scores
from steno.archive.chat.recording_track import RecordingTrack
from steno.archive.chat.word_matches import REACTING_SHARES
from steno.archive.manifest import ChatClock, ClockAnchor, ClockSegment

WINDOW_S = 120.0
SURROGATES = 24
MIN_CONFIDENCE = 0.6
MIN_PEAK_NATS = 8.0
"""Over the highest surrogate: few surrogates say little about how high the next one would be."""
SURE_CONFIDENCE = 0.92
"""Enough not to look for a better share of reacting words."""
MIN_MESSAGES = 30
MAX_ANCHOR_SPREAD_S = 3600.0
"""Of the offsets of anchors: the window covers them, and memory grows with it. Others make the clock alone."""
METHOD = "cross_correlation"


@dataclass(frozen=True, slots=True)
class CorrelationCurve:
    """Scores by offset, in nats, for display."""

    offsets_s: NDArray[np.float64]
    whole: NDArray[np.float64]
    """Of the whole chat, as if it had one offset."""
    by_segment: tuple[NDArray[np.float64], ...]
    """Of each segment of the clock."""
    surrogates: NDArray[np.float64]
    """The highest score of each shifted chat: path and steps as for `score`."""
    score: float

    def as_json(self) -> dict[str, object]:
        def rounded(values: NDArray[np.float64]) -> list[float]:
            return [round(float(value), 3) for value in values]

        return {
            "version": 1,
            "offsets_s": rounded(self.offsets_s),
            "whole": rounded(self.whole),
            "by_segment": [rounded(curve) for curve in self.by_segment],
            "surrogates": rounded(self.surrogates),
            "score": round(self.score, 3),
        }


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """A clock, and the curve that it was read from; None if there were too few messages for one."""

    clock: ChatClock
    curve: CorrelationCurve | None = None


@dataclass(frozen=True, slots=True)
class _Peak:
    """The best path, and those of the surrogates."""

    evidence: OffsetEvidence
    scores: NDArray[np.float32]
    path: NDArray[np.int64]
    score: float
    surrogates: NDArray[np.float64]

    @property
    def above_chance(self) -> float:
        """Nats over the highest surrogate."""
        return self.score - float(self.surrogates.max())

    @property
    def confidence(self) -> float:
        """How much of the peak is above the highest surrogate, of what is above their mean: 0 to 1."""
        above_mean = self.score - float(self.surrogates.mean())
        return round(self.above_chance / above_mean, 4) if self.above_chance > 0 else 0.0

    @property
    def is_clear(self) -> bool:
        return self.confidence >= MIN_CONFIDENCE and self.above_chance >= MIN_PEAK_NATS

    def curve(self, stretches: Sequence[OffsetStretch]) -> CorrelationCurve:
        edges = [*(self.evidence.block_of(stretch.start_s) for stretch in stretches), len(self.scores)]
        by_segment = tuple(self.scores[first:last].sum(axis=0, dtype=np.float64) for first, last in pairwise(edges))
        offsets_s = self.evidence.grid.offsets_s
        return CorrelationCurve(
            offsets_s, self.scores.sum(axis=0, dtype=np.float64), by_segment, self.surrogates, self.score
        )


def estimate_clock(
    messages: Sequence[ChatMessage],
    track: RecordingTrack,
    anchors: Sequence[ClockAnchor] = (),
    *,
    expected_offset_s: float = 0.0,
    window_s: float = WINDOW_S,
) -> ClockEstimate:
    """Estimate the clock.

    Args:
        messages: in order of time.
        anchors: moments that were set by hand. The clock goes through them; without a clear peak it is made of them
            alone.
        expected_offset_s: middle of the window; with anchors, the window covers theirs.
    """
    anchors = tuple(sorted(anchors, key=lambda each: each.chat_s))
    grid = _grid(anchors, expected_offset_s, window_s)
    near = messages_in_reach(messages, grid, track.duration_s)
    if len(near) < MIN_MESSAGES or track.duration_s <= 0:
        within = f" of {len(messages)} within the window" if len(near) < len(messages) else ""
        problem = f"too few messages: {len(near)}{within}; at least {MIN_MESSAGES} are needed"
        return ClockEstimate(_without_peak(anchors, 0.0, problem))
    if grid.window_s > window_s + MAX_ANCHOR_SPREAD_S / 2:
        return ClockEstimate(clock_by_anchors(anchors, 0.0))
    peak = _highest_peak(OffsetEvidence(near, track, grid))
    if peak.is_clear:
        return _fitted(peak, near, anchors)
    problem = (
        f"no clear peak: confidence {peak.confidence:.2f} (at least {MIN_CONFIDENCE}), "
        f"{peak.above_chance:.0f} nats over chance (at least {MIN_PEAK_NATS:.0f})"
    )
    return ClockEstimate(_without_peak(anchors, peak.confidence, problem), peak.curve(()))


def _fitted(peak: _Peak, messages: Sequence[ChatMessage], anchors: tuple[ClockAnchor, ...]) -> ClockEstimate:
    evidence, path = peak.evidence, peak.path
    if anchors:
        path, _ = best_path(require_anchors(peak.scores, evidence, anchors))
    chat_s = np.array([message.time_s for message in messages])
    fit = fit_offsets(stretches_of(path, evidence), evidence, chat_s)
    clock = ChatClock(
        segments=pin_to_anchors(_segments(fit), anchors),
        confidence=peak.confidence,
        method=f"{METHOD}+anchors" if anchors else METHOD,
        anchors=anchors,
    )
    return ClockEstimate(clock, peak.curve(fit.stretches))


def _highest_peak(evidence: OffsetEvidence) -> _Peak:
    """The most confident of `REACTING_SHARES`."""
    peaks = []
    for share in REACTING_SHARES:
        chosen = evidence.with_share(share)
        scores = chosen.scores()[0]
        path, score = best_path(scores)
        peaks.append(_Peak(chosen, scores, path, score, _surrogate_scores(chosen)))
        if peaks[-1].confidence >= SURE_CONFIDENCE:
            break
    return max(peaks, key=lambda peak: (peak.is_clear, peak.confidence))


def _grid(anchors: Sequence[ClockAnchor], expected_offset_s: float, window_s: float) -> OffsetGrid:
    if not anchors:
        return OffsetGrid(window_s, expected_offset_s)
    offsets = [anchor.recording_s - anchor.chat_s for anchor in anchors]
    low, high = min(offsets), max(offsets)
    return OffsetGrid(window_s + (high - low) / 2, round((low + high) / 2 / STEP_S) * STEP_S)


def _surrogate_scores(evidence: OffsetEvidence) -> NDArray[np.float64]:
    """Best scores of the chat shifted by more than the window, or as far as a short one can be."""
    reach = min(evidence.grid.size * STEP_S, evidence.circle_s / 4)
    shifts = np.round(np.linspace(reach, evidence.circle_s - reach, SURROGATES) / STEP_S) * STEP_S
    return best_scores(evidence.scores(shifts.tolist()))


def _without_peak(anchors: tuple[ClockAnchor, ...], confidence: float, problem: str) -> ChatClock:
    if anchors:
        return clock_by_anchors(anchors, confidence)
    return ChatClock(confidence=confidence, method=METHOD, problem=problem)


def _segments(fit: OffsetFit) -> tuple[ClockSegment, ...]:
    found = []
    for stretch in fit.stretches:
        at_start = stretch.offset_s + (stretch.start_s - stretch.reference_s) * fit.drift_ppm * 1e-6
        found.append(
            ClockSegment(start_s=round(stretch.start_s, 3), offset_s=round(at_start, 3), drift_ppm=fit.drift_ppm)
        )
    return tuple(found)
