"""The formats of timed lines (lyrics, scripts), by name. A line of the text is a line of the file, at its own time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from steno.captions.ass import ass
from steno.captions.cues import Cue, CueStyle, cues_of
from steno.captions.elrc import elrc
from steno.captions.lrc import lrc
from steno.captions.srt import srt
from steno.captions.textgrid import textgrid
from steno.captions.ttml import ttml
from steno.captions.vtt import vtt
from steno.types import Segment

LineFormatName: TypeAlias = Literal["lrc", "elrc", "srt", "vtt", "ass", "ttml", "textgrid"]
LINE_FORMATS: tuple[LineFormatName, ...] = get_args(LineFormatName)


@dataclass(frozen=True, slots=True)
class LineFile:
    """How a format is sent and named. `extension` includes the dot."""

    media_type: str
    extension: str


LINE_FILES: Mapping[LineFormatName, LineFile] = MappingProxyType(
    {
        "lrc": LineFile("text/plain", ".lrc"),
        "elrc": LineFile("text/plain", ".elrc"),
        "srt": LineFile("application/x-subrip", ".srt"),
        "vtt": LineFile("text/vtt", ".vtt"),
        "ass": LineFile("text/x-ssa", ".ass"),
        "ttml": LineFile("application/ttml+xml", ".ttml"),
        "textgrid": LineFile("text/plain", ".TextGrid"),
    }
)


def render_lines(
    name: LineFormatName, lines: Sequence[Segment], style: CueStyle, duration_s: float, language: str | None = None
) -> str:
    """The text of a file.

    Args:
        lines: in order, with words; they do not overlap.
        style: for SRT and WebVTT, which break long lines.
        language: a code, for formats that include it (WebVTT, TTML).
    """
    match name:
        case "lrc":
            return lrc(Cue(line.start_s, line.end_s, (line.text,), line.text) for line in lines)
        case "elrc":
            return elrc(lines)
        case "srt":
            return srt(_cues(lines, style, duration_s))
        case "vtt":
            return vtt(_cues(lines, style, duration_s), language=language)
        case "ass":
            return ass(lines)
        case "ttml":
            return ttml(lines, language=language)
        case "textgrid":
            return textgrid(lines, duration_s=duration_s)


def _cues(lines: Sequence[Segment], style: CueStyle, duration_s: float) -> Iterator[Cue]:
    """The cues of each line. A cue never has text of two lines; long lines have several."""
    for n, line in enumerate(lines):
        following_s = lines[n + 1].start_s - style.gap_s if n + 1 < len(lines) else duration_s
        yield from cues_of([line], style, audio_end_s=max(following_s, line.end_s))
