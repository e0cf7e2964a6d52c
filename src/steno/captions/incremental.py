"""Live subtitle files: each segment's cues, ready to be appended."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from steno.captions.cues import CueStyle, cues_of
from steno.captions.srt import srt
from steno.captions.vtt import vtt
from steno.types import Segment

RunningFormat: TypeAlias = Literal["srt", "vtt"]
RUNNING_FORMATS: tuple[RunningFormat, ...] = get_args(RunningFormat)


class IncrementalCaptions:
    """The results of `add`, joined, are a subtitle file.

    Args:
        first: number of the next cue. Above 1 the file is continued: no header is written.
    """

    def __init__(self, name: RunningFormat, style: CueStyle, *, first: int = 1) -> None:
        self._name = name
        self._style = style
        self._next = first

    def add(self, segment: Segment, end_s: float) -> str:
        """The segment's cues. None ends after `end_s`, where the next segment may start."""
        cues = cues_of([segment], self._style, audio_end_s=end_s)
        if not cues:
            return ""
        first, self._next = self._next, self._next + len(cues)
        if self._name == "srt":
            return srt(cues, first=first) + "\n"
        header, _, body = vtt(cues).partition("\n\n")
        return f"{header}\n\n{body}\n" if first == 1 else f"{body}\n"
