"""Clocks through anchors: moments that were set by hand on both clocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from steno.archive.chat.offset_evidence import OffsetEvidence
from steno.archive.manifest import ChatClock, ClockAnchor, ClockSegment

NEAR_S = 1.0
"""How far the path may be from an anchor: a person's reaction time, and the grid."""
MAX_DRIFT_PPM = 500.0
DRIFT_SPAN_S = 600.0
"""Anchors closer than this say nothing about drift."""
_FORBIDDEN = -1e6
_WITH_ANCHORS = "+anchors"


def require_anchors(
    scores: NDArray[np.float32], evidence: OffsetEvidence, anchors: Sequence[ClockAnchor]
) -> NDArray[np.float32]:
    """The scores with only offsets near the anchors in the anchors' blocks."""
    required = scores.copy()
    for anchor in anchors:
        far = np.abs(evidence.grid.offsets_s - (anchor.recording_s - anchor.chat_s)) > NEAR_S
        required[evidence.block_of(anchor.chat_s), far] = _FORBIDDEN
    return required


def clock_through_anchors(known: ChatClock | None, anchors: Sequence[ClockAnchor]) -> ChatClock:
    """The known clock, moved so that it goes through the anchors; one of anchors alone if nothing is known."""
    ordered = tuple(sorted(anchors, key=lambda each: each.chat_s))
    if known is None or not known.segments:
        return clock_by_anchors(ordered, 1.0)
    method = known.method if known.method.endswith(_WITH_ANCHORS) else known.method + _WITH_ANCHORS
    changes = {"segments": pin_to_anchors(known.segments, ordered), "anchors": ordered, "method": method}
    return known.model_copy(update=changes)


def pin_to_anchors(segments: tuple[ClockSegment, ...], anchors: Sequence[ClockAnchor]) -> tuple[ClockSegment, ...]:
    """Move segments so that they go through their anchors, or between them.

    A segment whose anchors no drift can reconcile is divided midway between them. One without anchors stays.
    """
    pinned = []
    for at, segment in enumerate(segments):
        end = segments[at + 1].start_s if at + 1 < len(segments) else np.inf
        begin = segment.start_s if at else -np.inf
        groups = _reconcilable(anchor for anchor in anchors if begin <= anchor.chat_s < end)
        pinned += [_shifted(segment, start, group) for start, group in _starts(groups, segment.start_s)]
        if not groups:
            pinned.append(segment)
    return tuple(pinned)


def clock_by_anchors(anchors: tuple[ClockAnchor, ...], confidence: float) -> ChatClock:
    """A clock of anchors alone; steps are midway between anchors that no drift can reconcile."""
    groups = _reconcilable(sorted(anchors, key=lambda each: each.chat_s))
    segments = tuple(_line(group, start) for start, group in _starts(groups, 0.0))
    return ChatClock(segments=segments, confidence=confidence, method="anchors", anchors=anchors)


def _reconcilable(anchors: Iterable[ClockAnchor]) -> list[list[ClockAnchor]]:
    """Neighbouring anchors that one line may go through. `anchors` are in order."""
    groups: list[list[ClockAnchor]] = []
    for anchor in anchors:
        if groups and _drifts(groups[-1][-1], anchor):
            groups[-1].append(anchor)
        else:
            groups.append([anchor])
    return groups


def _starts(groups: list[list[ClockAnchor]], first_s: float) -> Iterator[tuple[float, list[ClockAnchor]]]:
    """Each group with where its segment starts."""
    for at, group in enumerate(groups):
        yield (groups[at - 1][-1].chat_s + group[0].chat_s) / 2 if at else first_s, group


def _shifted(segment: ClockSegment, start_s: float, anchors: Sequence[ClockAnchor]) -> ClockSegment:
    """The segment's line from `start_s` on, moved by the mean distance of the anchors from it."""
    drifted = (start_s - segment.start_s) * segment.drift_ppm * 1e-6
    shift = float(np.mean([_error(segment, anchor) for anchor in anchors]))
    return segment.model_copy(
        update={"start_s": round(start_s, 3), "offset_s": round(segment.offset_s + drifted + shift, 3)}
    )


def _error(segment: ClockSegment, anchor: ClockAnchor) -> float:
    drifted = (anchor.chat_s - segment.start_s) * segment.drift_ppm * 1e-6
    return anchor.recording_s - anchor.chat_s - segment.offset_s - drifted


def _drifts(earlier: ClockAnchor, later: ClockAnchor) -> bool:
    change = (later.recording_s - later.chat_s) - (earlier.recording_s - earlier.chat_s)
    return abs(change) <= NEAR_S + (later.chat_s - earlier.chat_s) * MAX_DRIFT_PPM * 1e-6


def _line(group: Sequence[ClockAnchor], start_s: float) -> ClockSegment:
    times = np.array([anchor.chat_s for anchor in group])
    offsets = np.array([anchor.recording_s - anchor.chat_s for anchor in group])
    slope = 0.0
    if len(group) > 1 and times[-1] - times[0] >= DRIFT_SPAN_S:
        slope = float(np.clip(np.polyfit(times, offsets, 1)[0], -MAX_DRIFT_PPM * 1e-6, MAX_DRIFT_PPM * 1e-6))
    offset = float(offsets.mean() - slope * (times.mean() - start_s))
    return ClockSegment(start_s=round(start_s, 3), offset_s=round(offset, 3), drift_ppm=round(slope * 1e6, 1))
