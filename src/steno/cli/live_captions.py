"""Subtitle files that are written while people speak, and are whole at every moment."""

from __future__ import annotations

from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steno.captions.cues import CueStyle
    from steno.captions.running import RunningFormat
    from steno.client import Final

VTT_HEADER = b"WEBVTT\n\n"


class CaptionFile:
    """One file. Use it as a context manager: it is begun anew on entering.

    Args:
        target: the language of the translations that are written in place of what was said. The file is then called
            `NAME.TARGET.srt`. What could not be translated is kept as it was said.
    """

    def __init__(self, path: Path, name: RunningFormat, style: CueStyle, target: str | None) -> None:
        from steno.captions.running import RunningCaptions

        self._path = path.with_suffix(f".{target}{path.suffix}") if target else path
        self._is_vtt = name == "vtt"
        self._target = target
        # The header is written on entering, so the captions come without: as those of a file that was begun before.
        self._captions = RunningCaptions(name, style, first=2 if self._is_vtt else 1)

    def __enter__(self) -> CaptionFile:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = FileIO(self._path, "w")
        if self._is_vtt:
            self._file.write(VTT_HEADER)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, final: Final) -> None:
        """Append its cues, in one write."""
        from steno.alignment.heuristic import spread
        from steno.types import Segment

        text, words, language = final.text, final.words, final.language
        if self._target and final.translation is not None:
            text, words, language = final.translation, (), self._target
        if not text:
            return
        begin_s, end_s = (
            (final.words[0].start_s, final.words[-1].end_s) if final.words else (final.start_s, final.end_s)
        )
        words = words or spread(text, begin_s, end_s, language)
        segment = Segment(final.segment_id, final.start_s, final.end_s, text, language, words, final.confidence)
        if cues := self._captions.add(segment, final.end_s):
            self._file.write(cues.encode())
