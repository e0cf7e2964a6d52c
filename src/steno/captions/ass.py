"""Advanced SubStation Alpha (v4.00+) with karaoke: `{\\k52}word` is highlighted for 52 hundredths of a second.

It has no escapes for `{`, `}` and a backslash: they become full-width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from steno.captions.clock import ms
from steno.captions.payload import printable
from steno.captions.spaced_words import spaced_words
from steno.types import Segment

_HEAD = """[Script Info]
ScriptType: v4.00+
WrapStyle: 0
ScaledBorderAndShadow: yes
PlayResX: 1280
PlayResY: 720

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,54,&H0000D7FF,&H00FFFFFF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,3,1,2,40,40,50,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
_WIDE = str.maketrans({"{": "｛", "}": "｝", "\\": "＼"})


def ass(lines: Iterable[Segment]) -> str:
    """The file's text. Lines without visible text are skipped."""
    rows = []
    for line in lines:
        start, end = _hundredths(line.start_s), _hundredths(line.end_s)
        text = "".join(_karaoke(line, start)) or printable(line.text).translate(_WIDE)
        if text:
            rows.append(f"Dialogue: 0,{_clock(start)},{_clock(max(end, start))},Default,,0,0,0,,{text}\n")
    return _HEAD + "".join(rows)


def _karaoke(line: Segment, start: int) -> Iterator[str]:
    """The words with their durations. A pause is a duration without a text; nothing is rounded twice."""
    at = start
    for space, word in spaced_words(line):
        begin = max(_hundredths(word.start_s), at)
        end = max(_hundredths(word.end_s), begin)
        pause = f"{{\\k{begin - at}}}" if begin > at else ""
        yield f"{pause}{space}{{\\k{end - begin}}}{word.text.translate(_WIDE)}"
        at = end


def _hundredths(seconds: float) -> int:
    return (ms(seconds) + 5) // 10


def _clock(hundredths: int) -> str:
    seconds, rest = divmod(hundredths, 100)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}.{rest:02}"
