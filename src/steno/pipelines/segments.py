"""Splits a piece's hypothesis into segments with the recording's times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from steno.alignment.confidence import mean, within
from steno.alignment.heuristic import spread
from steno.captions.endings import ends_sentence
from steno.captions.script import joined, needs_space
from steno.pipelines.recording_reader import RecordingPiece
from steno.types import Hypothesis, Segment, Word

PAUSE_S = 0.6
"""Silence between two words that ends a segment."""


def segments_of(hypothesis: Hypothesis, piece: RecordingPiece, first_id: int) -> tuple[Segment, ...]:
    """Split the hypothesis of one piece into segments, numbered from `first_id`.

    A segment ends at the end of a sentence and, if word times are known, at a pause. Without word times, the piece's
    speech is divided among its sentences by length, and the segments have no words. Empty text gives no segment.
    """
    if not hypothesis.text.strip():
        return ()
    if not hypothesis.words:
        return tuple(_sentences(hypothesis, piece, first_id))
    words = [_on_clock(word, piece) for word in hypothesis.words]
    groups = list(_groups(words))
    texts = texts_of(hypothesis.text, groups)
    return tuple(
        Segment(
            id=first_id + n,
            start_s=group[0].start_s,
            end_s=group[-1].end_s,
            text=text,
            language=hypothesis.language,
            words=tuple(group),
            confidence=_confidence(group),
            repetition=hypothesis.repetition and n == len(groups) - 1,
        )
        for n, (group, text) in enumerate(zip(groups, texts, strict=True))
    )


def _sentences(hypothesis: Hypothesis, piece: RecordingPiece, first_id: int) -> Iterator[Segment]:
    groups = list(_groups(spread(hypothesis.text, *piece.extent, hypothesis.language)))
    at = 0
    for n, (group, text) in enumerate(zip(groups, texts_of(hypothesis.text, groups), strict=True)):
        start = max(hypothesis.text.find(text, at), 0)
        at = start + len(text)
        scores = within(hypothesis.scores, start, at)
        yield Segment(
            id=first_id + n,
            start_s=group[0].start_s,
            end_s=group[-1].end_s,
            text=text,
            language=hypothesis.language,
            confidence=mean(scores) if scores else hypothesis.confidence,
            scores=scores,
            repetition=hypothesis.repetition and n == len(groups) - 1,
        )


def separator(before: str, after: str) -> str:
    """The separator between two texts: a space, or nothing in scripts without spaces."""
    return " " if before and after and needs_space(before[-1], after[0]) else ""


def texts_of(text: str, groups: Sequence[Sequence[Word]]) -> list[str]:
    """The part of `text` for each group, with its spacing; the joined words if `text` does not contain them all."""
    begins = []
    position = 0
    for group in groups:
        for n, word in enumerate(group):
            found = text.find(word.text, position)
            if found < 0:
                return [joined([word.text for word in group]) for group in groups]
            if n == 0:
                begins.append(found)
            position = found + len(word.text)
    begins[0] = 0
    return [text[begin:end].strip() for begin, end in pairwise([*begins, len(text)])]


def _on_clock(word: Word, piece: RecordingPiece) -> Word:
    start_s = min(piece.start_s + word.start_s, piece.end_s)
    return Word(word.text, start_s, min(piece.start_s + word.end_s, piece.end_s), word.confidence)


def _groups(words: Sequence[Word]) -> Iterator[list[Word]]:
    group: list[Word] = []
    for word in words:
        if group and (word.start_s - group[-1].end_s >= PAUSE_S or ends_sentence(group[-1].text, word.text)):
            yield group
            group = []
        group.append(word)
    yield group


def _confidence(words: Sequence[Word]) -> float | None:
    """Mean confidence of the words that have one, weighted by duration."""
    known = [(word.confidence, max(word.end_s - word.start_s, 0.01)) for word in words if word.confidence is not None]
    if not known:
        return None
    return sum(confidence * weight for confidence, weight in known) / sum(weight for _, weight in known)
