"""Turns a transcript into cues: first word times, then line breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from steno.alignment.confidence import scored
from steno.alignment.heuristic import spread
from steno.captions.cues import Cue, CueStyle
from steno.captions.speaker_cues import SpeakerLabels, cues_by_speaker
from steno.pipelines.request_checks import TimingMode
from steno.types import Segment, Transcript, Word


@dataclass(frozen=True, slots=True)
class Timing:
    """Source of the word times. `reason`: why `mode` differs from the requested one."""

    mode: TimingMode
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Subtitles:
    """Cues, and the source of their times."""

    cues: tuple[Cue, ...]
    timing: Timing


def subtitles_of(
    transcript: Transcript, style: CueStyle, mode: TimingMode, labels: SpeakerLabels = "none"
) -> Subtitles:
    """Make cues from recognised word times (`accurate`), or from words spread over each segment by length (`fast`).

    Segments without word times are spread in either mode; `timing` reports it. `labels`: room is left for them in the
    cues of segments that have speakers; rendering adds them.
    """
    timed = [segment if segment.words and mode == "accurate" else _spread(segment) for segment in transcript.segments]
    cues = tuple(cues_by_speaker(timed, style, labels, audio_end_s=transcript.duration_s))
    return Subtitles(cues, _timing(transcript.segments, mode))


def words_of(segments: Sequence[Segment]) -> list[Word]:
    """The words of all segments. Words without times are spread over their segment."""
    return [word for segment in segments for word in (segment.words or _spread(segment).words)]


def _timing(segments: Sequence[Segment], mode: TimingMode) -> Timing:
    without = sum(not segment.words for segment in segments)
    if mode == "fast" or not without:
        return Timing(mode)
    return Timing("fast", f"{without} of {len(segments)} segments have no word times from the recogniser")


def _spread(segment: Segment) -> Segment:
    words = spread(segment.text, segment.start_s, segment.end_s, segment.language)
    spoken = scored(words, segment.text, segment.scores)
    if segment.speaker is not None:
        spoken = tuple(replace(word, speaker=segment.speaker) for word in spoken)
    return replace(segment, words=spoken)
