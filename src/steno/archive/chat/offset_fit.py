"""Fits offsets, one drift and the reaction lag to the stretches that the path found, and where they end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from steno.archive.chat.offset_evidence import BLOCK_S, OffsetEvidence
from steno.archive.chat.reaction_lag import LAG_TO_S, REACTION_LAGS, ReactionLag
from steno.archive.chat.word_matches import WordMatches

FINE_STEP_S, FINE_SPAN_S = 0.1, 3.0
DRIFTS_PPM = tuple(range(-300, 301, 50))
USUAL_DRIFT_PPM = 100.0
"""Standard deviation of the drift before anything is known of it: clocks of computers."""
SAME_OFFSET_S = 1.5
"""Neighbouring stretches closer than this are one: drift, or noise."""
BOUNDARY_SPAN_S = 90.0
ROUNDS = 2


@dataclass(frozen=True, slots=True)
class OffsetStretch:
    """A part of the chat with one offset, on the chat's clock."""

    start_s: float
    end_s: float
    offset_s: float
    """At `reference_s`."""

    @property
    def reference_s(self) -> float:
        return (self.start_s + self.end_s) / 2

    def at(self, chat_s: NDArray[np.float64], drift_ppm: float) -> NDArray[np.float64]:
        """The recording's times of moments on the chat's clock."""
        return chat_s + self.offset_s + (chat_s - self.reference_s) * drift_ppm * 1e-6


@dataclass(frozen=True, slots=True)
class OffsetFit:
    """Stretches in order, and what they share."""

    stretches: tuple[OffsetStretch, ...]
    drift_ppm: float = 0.0
    lag: ReactionLag = field(default_factory=ReactionLag)


def stretches_of(path: NDArray[np.int64], evidence: OffsetEvidence) -> tuple[OffsetStretch, ...]:
    """The path as stretches; a change of less than `SAME_OFFSET_S` is none."""
    offsets = evidence.grid.offsets_s[path]
    found: list[OffsetStretch] = []
    begun = 0
    for block in range(1, len(path) + 1):
        if block == len(path) or abs(offsets[block] - offsets[block - 1]) >= SAME_OFFSET_S:
            start, end = (evidence.begin_s + edge * BLOCK_S for edge in (begun, block))
            found.append(OffsetStretch(start, end, float(np.median(offsets[begun:block]))))
            begun = block
    return tuple(found)


def fit_offsets(
    stretches: tuple[OffsetStretch, ...], evidence: OffsetEvidence, chat_s: NDArray[np.float64]
) -> OffsetFit:
    """Improve the stretches. `chat_s` are the times of the messages that count."""
    fit = OffsetFit(stretches)
    for _ in range(ROUNDS):
        parts = [_Part(stretch, evidence, chat_s) for stretch in fit.stretches]
        lag = max(REACTION_LAGS, key=lambda each: _total(parts, fit.drift_ppm, each))
        drift = _best_drift(parts, lag)
        placed = tuple(part.fitted(drift, lag) for part in parts)
        fit = _with_boundaries(OffsetFit(placed, drift, lag), evidence, chat_s)
    return fit


class _Part:
    """The evidence of one stretch, near its offset."""

    def __init__(self, stretch: OffsetStretch, evidence: OffsetEvidence, chat_s: NDArray[np.float64]) -> None:
        self._stretch = stretch
        self._evidence = evidence
        steps = round(FINE_SPAN_S / FINE_STEP_S)
        self._offsets = stretch.offset_s + np.arange(-steps, steps + 1, dtype=np.float64) * FINE_STEP_S
        inside = (chat_s >= stretch.start_s) & (chat_s < stretch.end_s)
        self._chat_s = chat_s[inside]
        matches = evidence.matches
        distance = matches.said_s - matches.chat_s - stretch.offset_s
        near = (distance < FINE_SPAN_S + 1) & (distance > -FINE_SPAN_S - LAG_TO_S - 1)
        near &= (matches.chat_s >= stretch.start_s) & (matches.chat_s < stretch.end_s)
        self._matches = matches.select(near)
        self._density: dict[ReactionLag, NDArray[np.float64]] = {}

    def curve(self, drift_ppm: float, lag: ReactionLag) -> NDArray[np.float64]:
        """Nats of each offset."""
        matches = self._matches
        moved = (matches.chat_s - self._stretch.reference_s) * drift_ppm * 1e-6
        lags = self._offsets[:, np.newaxis] + (matches.chat_s + moved - matches.said_s)
        words: NDArray[np.float64] = np.log1p(matches.odds * lag.density(lags)) @ matches.weight
        if lag not in self._density:
            self._density[lag] = self._evidence.density_curve(self._chat_s, self._offsets, lag)
        return words + self._density[lag]

    def fitted(self, drift_ppm: float, lag: ReactionLag) -> OffsetStretch:
        curve = self.curve(drift_ppm, lag)
        likely = np.exp(curve - curve.max())
        return replace(self._stretch, offset_s=float(self._offsets @ likely / likely.sum()))


def _total(parts: Sequence[_Part], drift_ppm: float, lag: ReactionLag) -> float:
    return float(sum(part.curve(drift_ppm, lag).max() for part in parts))


def _best_drift(parts: Sequence[_Part], lag: ReactionLag) -> float:
    return float(max(DRIFTS_PPM, key=lambda drift: _total(parts, drift, lag) - (drift / USUAL_DRIFT_PPM) ** 2 / 2))


def _with_boundaries(fit: OffsetFit, evidence: OffsetEvidence, chat_s: NDArray[np.float64]) -> OffsetFit:
    """Move each boundary to where the evidence of the one stretch ends and that of the next begins."""
    moved = list(fit.stretches)
    for at in range(len(moved) - 1):
        before, after = moved[at], moved[at + 1]
        low = max(before.reference_s, before.end_s - BOUNDARY_SPAN_S)
        high = min(after.reference_s, before.end_s + BOUNDARY_SPAN_S)
        matches = evidence.matches.select((evidence.matches.chat_s >= low) & (evidence.matches.chat_s < high))
        near = chat_s[(chat_s >= low) & (chat_s < high)]
        first, second = (_nats(stretch, matches, near, fit, evidence) for stretch in (before, after))
        cut = _turning_point(np.concatenate([matches.chat_s, near]), first - second, low, high)
        moved[at] = _resized(before, before.start_s, cut, fit.drift_ppm)
        moved[at + 1] = _resized(after, cut, after.end_s, fit.drift_ppm)
    return replace(fit, stretches=tuple(moved))


def _nats(
    stretch: OffsetStretch, matches: WordMatches, chat_s: NDArray[np.float64], fit: OffsetFit, evidence: OffsetEvidence
) -> NDArray[np.float64]:
    """Of each match, and then of each message."""
    lags = stretch.at(matches.chat_s, fit.drift_ppm) - matches.said_s
    words = np.log1p(matches.odds * fit.lag.density(lags)) * matches.weight
    return np.concatenate([words, evidence.message_nats(stretch.at(chat_s, fit.drift_ppm), fit.lag)])


def _turning_point(times: NDArray[np.float64], lead: NDArray[np.float64], low: float, high: float) -> float:
    """Where the sum of `lead` up to a time is highest; the middle of all such times."""
    order = np.argsort(times, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(lead[order])])
    best = np.flatnonzero(total >= total.max() - 1e-9)
    edges = np.concatenate([[low], times[order], [high]])
    return float(edges[best[0]] + edges[best[-1] + 1]) / 2


def _resized(stretch: OffsetStretch, start_s: float, end_s: float, drift_ppm: float) -> OffsetStretch:
    """The same line over other bounds."""
    resized = OffsetStretch(start_s, end_s, stretch.offset_s)
    shift = (resized.reference_s - stretch.reference_s) * drift_ppm * 1e-6
    return replace(resized, offset_s=stretch.offset_s + shift)
