"""Cues of several speakers, as style guides want them: a new speaker begins a new cue.

Two short neighbours share a cue, with a line for each speaker (Netflix, Timed Text Style Guide: dual speakers; BBC
Subtitle Guidelines: "Identifying speakers"). A label is a dash before each line of such a cue, or the name before each
change; WebVTT has voice tags.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Literal, TypeAlias

from steno.captions.cues import Cue, cues_of
from steno.captions.script import width
from steno.captions.style import CueStyle
from steno.types import Segment

SpeakerLabels: TypeAlias = Literal["dash", "name", "none"]

SHORT_S = 1.5
"""A cue that would be shown for less may share one with its neighbour."""
DASH = "- "
LONG_LABEL = 20
"""Columns. A longer name, with its colon, gets a line of its own, because little of a line of 42 would be left."""


def cues_by_speaker(
    segments: Sequence[Segment], style: CueStyle, labels: SpeakerLabels, *, audio_end_s: float | None
) -> list[Cue]:
    """As `cues_of`. No cue has two speakers, except two short ones, with a line for each; `labels` get their room."""
    if all(segment.speaker is None for segment in segments):
        return cues_of(segments, style, audio_end_s=audio_end_s)
    runs = [list(run) for _, run in groupby(segments, key=lambda segment: segment.speaker)]
    starts: list[float | None] = [*(_start_s(run) for run in runs[1:]), None]
    cues: list[Cue] = []
    for run, following_s in zip(runs, starts, strict=True):
        end_s = audio_end_s if following_s is None else following_s - style.gap_s
        narrow = narrowed(style, run[0].speaker, labels)
        for cue in cues_of(run, narrow, audio_end_s=end_s):
            cues.append(replace(cue, speakers=(run[0].speaker or "",) * len(cue.lines)))
    return list(_paired(_apart(cues), style, labels))


def labelled_cue(cue: Cue, labels: SpeakerLabels, *, names: bool = True) -> Cue:
    """The cue with its labels in the text. `names`: write them; false for formats with voice tags. Lines whose
    speakers are not known (two of them, translated) have no label."""
    if len(cue.speakers) != len(cue.lines) or labels == "none" or (labels == "name" and not names):
        return cue
    is_shared = len(set(cue.speakers)) > 1
    if labels == "dash":
        lines = tuple(DASH + line for line in cue.lines) if is_shared else cue.lines
    else:
        previous = ("", *cue.speakers)
        lines = tuple(
            shown
            for line, speaker, before in zip(cue.lines, cue.speakers, previous, strict=False)
            for shown in (_named(line, speaker) if speaker and speaker != before else (line,))
        )
    return replace(cue, lines=lines, text=" ".join(lines))


def by_single_speakers(cue: Cue) -> tuple[Cue, ...]:
    """A cue for each line of a shared one, for formats whose rows have one time each."""
    if len(set(cue.speakers)) < 2 or len(cue.speakers) != len(cue.lines) or not cue.words:
        return (cue,)
    cues: list[Cue] = []
    words = list(cue.words)
    for line, speaker in zip(cue.lines, cue.speakers, strict=True):
        rest, spoken = len("".join(line.split())), []
        while words and rest > 0:
            spoken.append(words.pop(0))
            rest -= len("".join(spoken[-1].text.split()))
        if rest or not spoken:
            return (cue,)
        times = spoken[0].start_s, spoken[-1].end_s
        cues.append(
            replace(
                cue,
                start_s=times[0],
                end_s=times[1],
                lines=(line,),
                text=line,
                words=tuple(spoken),
                speakers=(speaker,),
            )
        )
    return (replace(cues[0], start_s=cue.start_s), *cues[1:-1], replace(cues[-1], end_s=cue.end_s))


def _named(line: str, speaker: str) -> tuple[str, ...]:
    return (f"{speaker}:", line) if _is_long(speaker) else (f"{speaker}: {line}",)


def _is_long(speaker: str) -> bool:
    return width(f"{speaker}: ") > LONG_LABEL


def _start_s(run: Sequence[Segment]) -> float:
    return run[0].words[0].start_s if run[0].words else run[0].start_s


def narrowed(style: CueStyle, speaker: str | None, labels: SpeakerLabels) -> CueStyle:
    """The style of a cue's text, which leaves room for its label."""
    if labels == "name" and speaker and _is_long(speaker):
        return replace(style, max_lines=max(style.max_lines - 1, 1))
    room = {"none": 0, "dash": len(DASH), "name": width(f"{speaker}: ") if speaker else 0}[labels]
    return replace(style, max_line_chars=max(style.max_line_chars - room, style.max_line_chars // 2))


def _apart(cues: list[Cue]) -> list[Cue]:
    """Speakers may overlap by rounding; cues may not."""
    ends = [*(following.start_s for following in cues[1:]), float("inf")]
    return [replace(cue, end_s=min(cue.end_s, end)) for cue, end in zip(cues, ends, strict=True)]


def _paired(cues: list[Cue], style: CueStyle, labels: SpeakerLabels) -> Iterator[Cue]:
    waiting: Cue | None = None
    for cue in cues:
        if waiting is not None and _may_share(waiting, cue, style, labels):
            yield replace(
                waiting,
                end_s=cue.end_s,
                lines=waiting.lines + cue.lines,
                text=f"{waiting.text} {cue.text}",
                words=waiting.words + cue.words,
                speakers=waiting.speakers + cue.speakers,
            )
            waiting = None
            continue
        if waiting is not None:
            yield waiting
        waiting = cue
    if waiting is not None:
        yield waiting


def _may_share(first: Cue, second: Cue, style: CueStyle, labels: SpeakerLabels) -> bool:
    if labels == "name" and any(map(_is_long, (*first.speakers, *second.speakers))):
        return False
    is_one_line_each = len(first.lines) == len(second.lines) == 1 and style.max_lines >= 2
    is_short = min(first.end_s - first.start_s, second.end_s - second.start_s) < SHORT_S
    is_close = second.start_s - first.end_s < style.pause_s and second.end_s - first.start_s <= style.max_duration_s
    return is_one_line_each and is_short and is_close and first.speakers != second.speakers
