"""Subtitle files that are written live and are valid at every moment."""

from __future__ import annotations

import contextlib
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steno.captions.cues import CueStyle
    from steno.captions.incremental import RunningFormat
    from steno.client import Final

VTT_HEADER = b"WEBVTT\n\n"


class CaptionFile:
    """One subtitle file. Use it as a context manager.

    Earlier content is truncated at the first cue or at a successful end, so that a run that fails at once (a wrong
    API key) keeps it.

    Args:
        target: write translations into this language. The file is then called `NAME.TARGET.srt`. Text that was not
            translated is kept.
    """

    def __init__(self, path: Path, name: RunningFormat, style: CueStyle, target: str | None) -> None:
        from steno.captions.incremental import IncrementalCaptions

        self._path = path.with_suffix(f".{target}{path.suffix}") if target else path
        self._is_vtt = name == "vtt"
        self._target = target
        # `_begin` writes the header, so the captions continue an existing file.
        self._captions = IncrementalCaptions(name, style, first=2 if self._is_vtt else 1)

    def __enter__(self) -> CaptionFile:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self._path.exists()
        self._file = FileIO(self._path, "a")  # fails now if the file cannot be written
        self._has_begun = False
        if is_new or (self._path.is_file() and not self._path.stat().st_size):
            self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._begin()

    @property
    def path(self) -> Path:
        return self._path

    def _begin(self) -> None:
        if self._has_begun:
            return
        self._has_begun = True
        with contextlib.suppress(OSError):  # a pipe
            self._file.truncate(0)
        if self._is_vtt:
            self._file.write(VTT_HEADER)

    def add(self, final: Final) -> None:
        """Append the final's cues, in one write."""
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
            self._begin()
            self._file.write(cues.encode())
