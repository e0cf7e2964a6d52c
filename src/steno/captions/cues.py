"""Builds cues, the units of subtitles, from timed words.

The rules, in order of precedence where they conflict:

1. Every character of the text is kept, in order. Only white space changes: a run becomes one space or a line break.
2. Cues are in order, do not overlap, have a duration, and end within the audio. They start with their first word.
3. A cue has at most `max_lines` lines of at most `max_line_chars` columns (`captions/script.py` says how wide a
   character is). A wider word is cut between its characters, never inside one.
4. No cue lasts longer than `max_duration_s`; the cue of a single longer word ends early.
5. No cue spans a pause of `pause_s` or more. A pause within a sentence is bridged, up to twice that, if one side
   would otherwise be an orphan or too short (rule 6).
6. A cue lasts at least `min_duration_s` and ends `gap_s` before the next one. No cue is an orphan: one short word that
   could join its neighbour in the sentence, or the next sentence if it is a sentence of its own.
7. A cue ends with its sentence, unless one of two sentences is too short to stand alone (rule 6).
8. A cue is shown long enough to be read at `max_cps`. It stays after its words for that, as far as rules 2, 4 and 6
   allow. If it is still too fast, its sentence is cut elsewhere, if that gains more than it costs (rule 9).
9. Within a sentence there are as few cues as possible, of about equal size, broken at commas and the like, then at
   short pauses and before conjunctions, and not after a short word (an article, a preposition); phrases of Chinese and
   Japanese stay whole. The same applies to lines: as few as possible, balanced, broken by syntax.

Finally a gap shorter than `pause_s` is closed up to `gap_s`, because flickering cues are hard to read. If the gap would
take more than half of a cue, it is half of the cue's time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from steno.captions.clock import TimedText, ms, repair
from steno.captions.cuts import cuts
from steno.captions.lines import lines_of, rebreak, text_of
from steno.captions.locate import LocatedText, locate
from steno.captions.script import needs_space
from steno.captions.style import CueStyle
from steno.captions.text_units import TextUnit, set_times, units_of
from steno.types import Segment, Word

__all__ = ["Cue", "CueStyle", "cues_of", "rebreak", "with_text"]


@dataclass(frozen=True, slots=True)
class Cue:
    """A subtitle shown from `start_s` to `end_s`; both are whole milliseconds."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]
    text: str = ""
    """The lines joined, with or without a space, as the script requires."""
    words: tuple[Word, ...] = ()
    """The text as indivisible pieces with their times; empty if it has none (a translation)."""
    language: str | None = None
    speakers: tuple[str, ...] = ()
    """Who says each line; empty if speakers are not known."""


def cues_of(segments: Iterable[Segment], style: CueStyle, *, audio_end_s: float | None) -> list[Cue]:
    """Cues of segments whose words have times.

    A cue shows the segment's own text; the words are located in it and provide the times, which are repaired if they
    overlap, run backwards or have no duration. A segment without words counts as one long word.

    Args:
        audio_end_s: finite; no cue ends after this. None = unknown.
    """
    end_ms = None if audio_end_s is None else ms(math.floor(audio_end_s * 1000 + 1e-6) / 1000)
    pieces = _timed_pieces(segments, style, end_ms)
    if not pieces:
        return []
    if end_ms is not None:
        end_ms = max(end_ms, pieces[-1].end_ms)
    ranges = cuts(pieces, style, end_ms)
    starts: list[int | None] = [*(pieces[cue.start].start_ms for cue in ranges[1:]), None]
    return [
        _cue(pieces[cue.start : cue.stop], style, following, end_ms)
        for cue, following in zip(ranges, starts, strict=True)
    ]


def with_text(cue: Cue, text: str, style: CueStyle, language: str | None = None) -> Cue:
    """The cue with another text at the same time: a translation."""
    lines = rebreak(text, style, language)
    speakers = cue.speakers[:1] * len(lines) if len(set(cue.speakers)) == 1 else ()
    return replace(cue, lines=lines, text=" ".join(text.split()), words=(), language=language, speakers=speakers)


def _timed_pieces(segments: Iterable[Segment], style: CueStyle, end_ms: int | None) -> list[TextUnit]:
    located: list[tuple[LocatedText, str | None]] = []
    for segment in segments:
        if (found := locate(segment)).text:
            located.append((found, segment.language))
    spans = [
        TimedText(place.end - place.begin, ms(place.start_s), ms(place.end_s))
        for found, _ in located
        for place in found.spans
    ]
    repair(spans, end_ms)
    pieces: list[TextUnit] = []
    remaining = iter(spans)
    for found, language in located:
        units = units_of(found.text, style.max_line_chars, language, found.spans)
        set_times(units, found.spans, list(islice(remaining, len(found.spans))))
        if pieces:
            units[0].spaced = needs_space(pieces[-1].text[-1], units[0].text[0])
        pieces += units
    return pieces


def _cue(pieces: Sequence[TextUnit], style: CueStyle, following_ms: int | None, end_ms: int | None) -> Cue:
    text = text_of(pieces)
    columns = sum(piece.width + piece.spaced for piece in pieces) - pieces[0].spaced
    start_ms = pieces[0].start_ms
    return Cue(
        start_s=start_ms / 1000,
        end_s=_end_ms(start_ms, pieces[-1].end_ms, columns, style, following_ms, end_ms) / 1000,
        lines=lines_of(pieces, style.max_line_chars),
        text=text,
        words=tuple(Word(piece.text, piece.start_ms / 1000, piece.end_ms / 1000) for piece in pieces),
        language=pieces[0].language,
    )


def _end_ms(
    start_ms: int, spoken_ms: int, columns: int, style: CueStyle, following_ms: int | None, end_ms: int | None
) -> int:
    """End of the cue: after its words, later if it needs time to be read, but before the next one."""
    target_ms = max(
        spoken_ms, start_ms + ms(style.min_duration_s), start_ms + math.ceil(1000 * columns / style.max_cps)
    )
    if following_ms is not None:
        latest_ms = following_ms - min(ms(style.gap_s), (following_ms - start_ms) // 2)
        if following_ms - target_ms < ms(style.pause_s):
            target_ms = latest_ms
        target_ms = min(target_ms, latest_ms)
    elif end_ms is not None:
        target_ms = min(target_ms, end_ms)
    return min(target_ms, start_ms + ms(style.max_duration_s))
