"""Diarization error rate by pyannote.metrics, and the share of words with the right speaker."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyannote.core import Annotation, Segment
from pyannote.metrics.diarization import DiarizationErrorRate

from benchmarks.conversing.conversations import Conversation
from steno.pipelines.speaker_labels import labelled
from steno.speakers.diarizer import Diarization
from steno.types import Segment as TextSegment
from steno.types import Word

COLLAR_S = 0.25
"""Not scored on each side of a change; pyannote's `collar` is both sides together."""
JOIN_S = 0.3
"""A shorter pause of one speaker is speech in the reference."""


@dataclass(frozen=True, slots=True)
class Score:
    """All as shares; of the speech in the reference, or of its words."""

    error: float
    missed: float
    false_alarm: float
    confusion: float
    right_words: float
    found: int


def score(conversation: Conversation, found: Diarization) -> Score:
    scored, names = compared(_annotation(reference_turns(conversation)), found)
    return replace(scored, right_words=_right_words(conversation, found, names))


def compared(expected: Annotation, found: Diarization) -> tuple[Score, dict[str, str]]:
    """The score, but of words, and the reference's name of each speaker found."""
    hypothesis = [(turn.start_s, turn.end_s, found.names[turn.speaker]) for turn in (*found.turns, *found.overlaps)]
    metric = DiarizationErrorRate(collar=2 * COLLAR_S, skip_overlap=False)
    given = _annotation(hypothesis)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that the scored region is approximated by both extents
        parts = metric(expected, given, detailed=True)
        names = metric.optimal_mapping(expected, given)
    total = parts["total"]
    missed, false_alarm, confusion = (parts[part] / total for part in ("missed detection", "false alarm", "confusion"))
    error = parts["diarization error rate"]
    return Score(error, missed, false_alarm, confusion, math.nan, len(found.names)), names


def reference_turns(conversation: Conversation) -> list[tuple[float, float, str]]:
    """The words of each speaker, joined over short pauses."""
    turns: list[tuple[float, float, str]] = []
    last: dict[str, int] = {}
    for word in conversation.words:
        n = last.get(word.speaker)
        if n is not None and word.start_s - turns[n][1] < JOIN_S:
            turns[n] = (turns[n][0], max(turns[n][1], word.end_s), word.speaker)
        else:
            last[word.speaker] = len(turns)
            turns.append((word.start_s, word.end_s, word.speaker))
    return turns


def _right_words(conversation: Conversation, found: Diarization, names: dict[str, str]) -> float:
    """The reference's words as a recogniser would give them, with the speakers that they get."""
    words = tuple(Word(word.text, word.start_s, word.end_s) for word in conversation.words)
    text = " ".join(word.text for word in words)
    segments = labelled([TextSegment(0, words[0].start_s, words[-1].end_s, text, words=words)], found)
    given = [word.speaker for segment in segments for word in segment.words]
    right = [names.get(name or "") == word.speaker for name, word in zip(given, conversation.words, strict=True)]
    return sum(right) / len(right)


def _annotation(turns: Sequence[tuple[float, float, str]]) -> Annotation:
    made = Annotation()
    for n, (start_s, end_s, speaker) in enumerate(turns):
        made[Segment(start_s, end_s), n] = speaker
    return made
