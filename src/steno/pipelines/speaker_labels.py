"""Gives words and segments their speakers. A change of speakers is moved to the nearest word boundary."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from steno.captions.endings import ends_sentence
from steno.pipelines.segments import texts_of
from steno.pipelines.subtitle import words_of
from steno.types import Segment, Word

if TYPE_CHECKING:
    from steno.speakers.diarizer import Diarization
    from steno.speakers.speaker_turns import SpeakerTurn

ISLAND_S = 0.5
"""Words of another speaker inside a sentence, for less than this, get the sentence's speaker: no voice can be told by
so little."""


def labelled(segments: Sequence[Segment], found: Diarization) -> list[Segment]:
    """The segments with speakers, numbered anew: one in which the speaker changes becomes several.

    Words without times of their own get their speaker by times spread over the segment, and stay without times.
    """
    result: list[Segment] = []
    labeller = _Labeller(found)
    for segment in segments:
        words = [labeller.label(word) for word in words_of([segment])]
        if not words:
            result.append(replace(segment, id=len(result), speaker=labeller.at(segment.start_s, segment.end_s)[0]))
            continue
        groups = list(_runs(_without_islands(words)))
        for group, text in zip(groups, texts_of(segment.text, groups), strict=True):
            result.append(_part(segment, len(result), group, text, is_whole=len(groups) == 1))
    return result


def labelled_words(words: Sequence[Word], found: Diarization) -> list[Word]:
    """The words of one segment with their speakers."""
    labeller = _Labeller(found)
    return _without_islands([labeller.label(word) for word in words])


@dataclass(frozen=True, slots=True)
class SpeakerRun:
    """Consecutive words of one speaker."""

    speaker: str | None
    text: str
    start_s: float
    end_s: float


def speaker_runs(text: str, words: Sequence[Word]) -> list[SpeakerRun]:
    """The parts of a text, divided where the speaker of its words changes; none without words."""
    groups = list(_runs(words))
    texts = texts_of(text, groups) if groups else []
    return [
        SpeakerRun(group[0].speaker, part, group[0].start_s, group[-1].end_s)
        for group, part in zip(groups, texts, strict=True)
    ]


class _Labeller:
    def __init__(self, found: Diarization) -> None:
        self._turns = found.turns
        self._names = found.names
        self._ends = [turn.end_s for turn in found.turns]
        self._overlaps = found.overlaps
        self._overlap_ends = [turn.end_s for turn in found.overlaps]

    def label(self, word: Word) -> Word:
        name, confidence = self.at(word.start_s, word.end_s)
        return _with_speakers(word, name, confidence, self._other_at(word.start_s, word.end_s))

    def at(self, start_s: float, end_s: float) -> tuple[str | None, float | None]:
        """Who speaks most of this time, and how surely; in silence the nearest speaker."""
        if not self._turns:
            return None, None
        shares: defaultdict[int, float] = defaultdict(float)
        sure: dict[int, float] = {}
        first = bisect_left(self._ends, start_s)
        for n in range(first, len(self._turns)):
            turn = self._turns[n]
            if turn.start_s >= end_s:
                break
            shares[turn.speaker] += min(end_s, turn.end_s) - max(start_s, turn.start_s)
            sure[turn.speaker] = max(turn.confidence, sure.get(turn.speaker, 0.0))
        if not shares:
            nearest = self._nearest(first, start_s, end_s)
            return self._names[nearest.speaker], nearest.confidence
        speaker = max(shares, key=lambda each: shares[each])
        return self._names[speaker], sure[speaker]

    def _other_at(self, start_s: float, end_s: float) -> str | None:
        """The second speaker, if there is one for half of this time."""
        for n in range(bisect_left(self._overlap_ends, start_s), len(self._overlaps)):
            turn = self._overlaps[n]
            if turn.start_s >= end_s:
                break
            if min(end_s, turn.end_s) - max(start_s, turn.start_s) >= (end_s - start_s) / 2:
                return self._names[turn.speaker]
        return None

    def _nearest(self, following: int, start_s: float, end_s: float) -> SpeakerTurn:
        near = self._turns[max(0, following - 1) : following + 1]
        return min(near, key=lambda turn: max(start_s - turn.end_s, turn.start_s - end_s))


def _with_speakers(word: Word, speaker: str | None, confidence: float | None, other: str | None) -> Word:
    return replace(
        word, speaker=speaker, speaker_confidence=confidence, other_speaker=other if other != speaker else None
    )


def _without_islands(words: Sequence[Word]) -> list[Word]:
    """Short runs between words of one other speaker, in the same sentence, get that speaker."""
    runs = list(_runs(words))
    for before, run, after in zip(runs, runs[1:], runs[2:], strict=False):
        is_inside = not ends_sentence(before[-1].text, run[0].text) and not ends_sentence(run[-1].text, after[0].text)
        is_short = run[-1].end_s - run[0].start_s < ISLAND_S
        if is_inside and is_short and before[-1].speaker == after[0].speaker:
            last = before[-1]
            run[:] = [_with_speakers(word, last.speaker, last.speaker_confidence, word.other_speaker) for word in run]
    return [word for run in runs for word in run]


def _runs(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Consecutive words of one speaker."""
    run: list[Word] = []
    for word in words:
        if run and word.speaker != run[-1].speaker:
            yield run
            run = []
        run.append(word)
    if run:
        yield run


def _part(segment: Segment, number: int, words: Sequence[Word], text: str, *, is_whole: bool) -> Segment:
    has_times = bool(segment.words)
    if is_whole:
        return replace(segment, id=number, speaker=words[0].speaker, words=tuple(words) if has_times else segment.words)
    known = [word.confidence for word in words if word.confidence is not None]
    return replace(
        segment,
        id=number,
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        text=text,
        words=tuple(words) if has_times else (),
        confidence=sum(known) / len(known) if known else segment.confidence,
        scores=(),
        speaker=words[0].speaker,
    )
