"""A piece's hypothesis as segments on the recording's clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steno.backends.base import Hypothesis
from steno.pipelines.pieces import Piece
from steno.types import Segment, Word

PAUSE_S = 0.6
"""A silence between two words that ends a segment."""
SENTENCE_END = (".", "?", "!", "。", "？", "！", "…")


def segments_of(heard: Hypothesis, piece: Piece, first_id: int) -> tuple[Segment, ...]:
    """Segments of one piece, numbered from `first_id`.

    With word times a segment ends at a pause or at the end of a sentence; without, the piece is one segment that spans
    the speech in it. No text, no segment.
    """
    if not heard.text.strip():
        return ()
    if not heard.words:
        return (Segment(first_id, *piece.extent, heard.text, heard.language, (), heard.confidence),)
    words = [_on_clock(word, piece) for word in heard.words]
    return tuple(
        Segment(
            id=first_id + n,
            start_s=group[0].start_s,
            end_s=group[-1].end_s,
            text=" ".join(word.text for word in group),
            language=heard.language,
            words=tuple(group),
            confidence=_confidence(group),
        )
        for n, group in enumerate(_groups(words))
    )


def _on_clock(word: Word, piece: Piece) -> Word:
    start_s = min(piece.start_s + word.start_s, piece.end_s)
    return Word(word.text, start_s, min(piece.start_s + word.end_s, piece.end_s), word.confidence)


def _groups(words: Sequence[Word]) -> Iterator[list[Word]]:
    group: list[Word] = []
    for word in words:
        if group and (word.start_s - group[-1].end_s >= PAUSE_S or group[-1].text.endswith(SENTENCE_END)):
            yield group
            group = []
        group.append(word)
    yield group


def _confidence(words: Sequence[Word]) -> float | None:
    """Of the words that have one, weighted by duration."""
    known = [(word.confidence, max(word.end_s - word.start_s, 0.01)) for word in words if word.confidence is not None]
    if not known:
        return None
    return sum(confidence * weight for confidence, weight in known) / sum(weight for _, weight in known)
