"""Times a known text (lyrics, a script) line by line.

    recognise → match the words with the lines → align each stretch with the aligner → lines with times

If a step is not possible, the next best times are used, and a warning says why:

    forced_alignment     the aligner's times of every word, between words that were recognised
    recognized_words     the recogniser's word times; words that it did not recognise are placed between them
    even                 the speech is shared out among the lines by length (only if the caller forces it)
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, TypeAlias

from steno.alignment.drift import Drift, drift_of
from steno.alignment.line_words import LineWord, line_words_of
from steno.alignment.occurrences import HeardToken, LineTokens, Matched, find_lines, heard_tokens, tokens_of_line
from steno.alignment.sheet import SheetLine, parse_sheet
from steno.alignment.timed_lines import TimedLine, even_lines, offsets_of, timed_lines
from steno.engine.front import Engine
from steno.engine.ticket import Ticket
from steno.errors import InvalidRequestError, TextMismatchError
from steno.pipelines.file import FileOptions, FileTranscription
from steno.pipelines.forced_stretches import AnchoredText, ForcedStretches
from steno.pipelines.recording_reader import RecordingOpener
from steno.pipelines.subtitle import words_of
from steno.types import Transcript

Repeats: TypeAlias = Literal["auto", "as_written"]
Method: TypeAlias = Literal["forced_alignment", "recognized_words", "even"]
Report: TypeAlias = Callable[[str, float], None]
"""Gets the name of the step in progress and the part of it, in [0, 1], that is done."""

MIN_MATCH_RATIO = 0.25
"""A text below this is not what the recording says: unrelated lyrics reach 0.08, the right ones under music 0.9."""
MAX_LINES = 20_000
RECOGNITION, ALIGNMENT = "recognize", "align"


@dataclass(frozen=True, slots=True)
class KnownTextOptions:
    """Options of an alignment.

    Args:
        language: ISO 639-1; None = as the recogniser detects it.
        repeats: `auto` = lines and sections may be said again; `as_written` = each as often as the text has it.
        force: time a text that does not match the audio.
        track: the audio track, as in `steno.audio.decode.decode`.
    """

    language: str | None = None
    repeats: Repeats = "auto"
    force: bool = False
    track: str | None = None


@dataclass(frozen=True, slots=True)
class LineAlignment:
    """The lines with their times, and how they were found."""

    lines: tuple[TimedLine, ...]
    method: Method
    language: str | None
    match_ratio: float
    """How well text and audio fit, in [0, 1]: the share of one that the other has."""
    drift: Drift | None
    """None if there are too few lines to tell."""
    audio_s: float
    warnings: tuple[str, ...]
    timings_s: dict[str, float]


def sheet_lines(text: str) -> list[SheetLine]:
    """The lines of a request's text. Raises InvalidRequestError if there are none, or too many."""
    lines = parse_sheet(text)
    if len(lines) > MAX_LINES:
        raise InvalidRequestError(f"the text has {len(lines)} lines; the maximum is {MAX_LINES}", param="text")
    if not any(tokens_of_line(line, None).tokens for line in lines):
        raise InvalidRequestError("the text has no line that can be said; expected lyrics or a script", param="text")
    return lines


class KnownTextAlignment:
    """The alignment of one recording. Use it as `async with`; leaving it stops the decoder and all work.

    Args:
        recording: is read twice, so a file must be seekable.
        lines: from `sheet_lines`.
        max_stretch_s: longest audio that the aligner gets.
    """

    def __init__(
        self,
        engine: Engine,
        opener: RecordingOpener,
        recording: BinaryIO | Path,
        lines: Sequence[SheetLine],
        ticket: Ticket,
        options: KnownTextOptions,
        max_stretch_s: float,
    ) -> None:
        self._lines = lines
        self._ticket = ticket
        self._options = options
        self._transcription = FileTranscription.on(
            engine,
            opener.open(recording, options.track),
            ticket,
            FileOptions(options.language, words=True, track=options.track),
        )
        self._stretches = ForcedStretches(engine, opener, recording, options.track, ticket, max_stretch_s)
        self._stopped = threading.Event()
        self._warnings: list[str] = []
        self._timings_s: dict[str, float] = {}

    async def __aenter__(self) -> KnownTextAlignment:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        await self._transcription.aclose()

    async def open(self) -> None:
        """Decode the first piece, so that unusable audio is reported early. Raises AudioError."""
        await self._transcription.open()

    async def run(self, report: Report = lambda step, part: None) -> LineAlignment:
        """Recognise, match and align.

        Raises:
            TextMismatchError: the text does not match the audio, and `options.force` is not set.
            StenoError: what the engine raises.
        """
        transcript = await self._recognise(report)
        language = self._options.language or transcript.language
        began = time.perf_counter()
        found = await asyncio.to_thread(self._match, transcript, language)
        self._timings_s["match"] = time.perf_counter() - began
        self._check(found.matched)
        if found.matched.ratio >= MIN_MATCH_RATIO and found.line_words:
            line_words, method = await self._align(found, transcript.duration_s, language, report)
            made = await asyncio.to_thread(_timed, self._lines, found, line_words, transcript.duration_s)
        else:
            made, method = await asyncio.to_thread(self._even, found, transcript, language), "even"
        return LineAlignment(
            lines=made.lines,
            method=method,
            language=language,
            match_ratio=found.matched.ratio,
            drift=self._checked(made.drift),
            audio_s=transcript.duration_s,
            warnings=(*transcript.warnings, *self._warnings),
            timings_s={**transcript.timings_s, **self._timings_s},
        )

    async def _recognise(self, report: Report) -> Transcript:
        await self.open()
        total_s = self._transcription.total_s
        transcript = await self._transcription.transcript(
            lambda done_s: report(RECOGNITION, min(done_s / total_s, 1.0) if total_s else 0.0)
        )
        await self._transcription.aclose()  # its decoder reads the same file as the second pass
        estimated = sum(not segment.words for segment in transcript.segments)
        if estimated:
            of = f"{estimated} of {len(transcript.segments)} segments"
            self._warnings.append(f"{of} have no word times from the recogniser; theirs are estimated by length")
        return transcript

    def _match(self, transcript: Transcript, language: str | None) -> _Found:
        """Runs in a thread: an hour of speech takes seconds."""
        heard = [
            token
            for segment in transcript.segments
            for token in heard_tokens(words_of([segment]), language, are_timed=bool(segment.words))
        ]
        tokens = [tokens_of_line(line, language) for line in self._lines]
        matched = find_lines(
            self._lines,
            tokens,
            heard,
            may_repeat=self._options.repeats == "auto",
            should_stop=self._stopped.is_set,
        )
        line_words = line_words_of(matched.occurrences, self._lines, tokens, heard, transcript.duration_s)
        return _Found(tokens, heard, matched, line_words)

    def _check(self, matched: Matched) -> None:
        if matched.ratio >= MIN_MATCH_RATIO:
            return
        text = (
            f"the text does not match the audio: {matched.ratio:.0%} of it was found, {MIN_MATCH_RATIO:.0%} is needed"
        )
        if not self._options.force:
            raise TextMismatchError(f"{text}; check text and language, or set force to time it anyway")
        self._warnings.append(f"{text}; the lines are spread evenly over the speech")

    async def _align(
        self, found: _Found, duration_s: float, language: str | None, report: Report
    ) -> tuple[list[LineWord], Method]:
        """The aligner's times of the words; where it gives none, those of the recogniser's words."""
        began = time.perf_counter()
        lines = [self._lines[occurrence.line].text for occurrence in found.matched.occurrences]
        text = AnchoredText(found.line_words, lines, found.heard, language, duration_s)
        aligned = await self._stretches.align(text, lambda part: report(ALIGNMENT, part))
        self._timings_s["align_lines"] = time.perf_counter() - began
        self._timings_s["decode_again"] = aligned.decode_s
        self._warnings += aligned.warnings
        return aligned.words, "forced_alignment" if aligned.count else "recognized_words"

    def _even(self, found: _Found, transcript: Transcript, language: str | None) -> _Made:
        """Runs in a thread."""
        speech = self._transcription.speech
        if not speech:
            self._warnings.append("no speech was detected; the lines are spread evenly over the whole recording")
        return _Made(tuple(even_lines(self._lines, found.tokens, speech, transcript.duration_s, language)), None)

    def _checked(self, drift: Drift | None) -> Drift | None:
        if drift is not None and drift.is_large:
            self._warnings.append(
                f"the lines drift from the recognised words by {drift.total_ms:.0f} ms over the recording"
            )
        return drift


@dataclass(frozen=True, slots=True)
class _Found:
    """What was heard of the text. `line_words` have the times of recognised words."""

    tokens: Sequence[LineTokens]
    heard: Sequence[HeardToken]
    matched: Matched
    line_words: list[LineWord]


@dataclass(frozen=True, slots=True)
class _Made:
    lines: tuple[TimedLine, ...]
    drift: Drift | None


def _timed(lines: Sequence[SheetLine], found: _Found, line_words: Sequence[LineWord], duration_s: float) -> _Made:
    """Runs in a thread."""
    made = timed_lines(lines, found.tokens, found.matched.occurrences, line_words, duration_s)
    return _Made(tuple(made), drift_of(list(offsets_of(line_words, found.line_words))))
