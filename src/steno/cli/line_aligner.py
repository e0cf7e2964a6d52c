"""Aligns a known text with a recording, in this process or on a server. Both return a `LineAlignment`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steno.cli.transcriber import in_daemon_thread
from steno.stage_times import stages_in

if TYPE_CHECKING:
    from steno.cli.progress import RecordingProgress
    from steno.pipelines.known_text import LineAlignment, Repeats
    from steno.settings import Settings

STEPS = {"recognize": ("recognising", 0.0, 0.8), "align": ("aligning", 0.8, 0.2)}
"""What the progress bar shows of each step, where its part of the bar begins, and how much it takes."""


@dataclass(frozen=True, slots=True)
class AlignRequest:
    """What to align. Arguments as of `KnownTextOptions`."""

    recording: Path
    text: str
    language: str | None
    repeats: Repeats
    force: bool
    track: str | None


async def align_here(request: AlignRequest, settings: Settings, progress: RecordingProgress) -> LineAlignment:
    """Align with an engine in this process. Raises StenoError, OSError."""
    from steno import compose
    from steno.pipelines.known_text import KnownTextAlignment, KnownTextOptions, sheet_lines
    from steno.pipelines.request_checks import check_language

    lines = sheet_lines(request.text)
    engine = compose.engine_of(settings)
    language = check_language(request.language, engine.capabilities, engine.backend.name)
    options = KnownTextOptions(language, request.repeats, request.force, request.track)
    recordings = compose.recordings_of(settings, engine)

    def report(step: str, part: float) -> None:
        note, begin, share = STEPS[step]
        progress.part(begin + share * part, note)

    try:
        async with (
            engine,
            engine.admit() as ticket,
            KnownTextAlignment(
                engine, recordings, request.recording, lines, ticket, options, settings.align_piece_s
            ) as alignment,
        ):
            done = await alignment.run(report)
    finally:
        await recordings.aclose()
    progress.audio_s = done.audio_s
    return done


async def align_there(
    request: AlignRequest, url: str, api_key: str | None, progress: RecordingProgress
) -> LineAlignment:
    """Align on a server. Raises StenoError, OSError."""
    from steno.client import Client

    size = max(request.recording.stat().st_size, 1)
    with Client(url, api_key) as client:
        answer = await in_daemon_thread(
            lambda: client.align(
                request.recording,
                request.text,
                language=request.language,
                repeats=request.repeats,
                force=request.force,
                track=request.track,
                on_sent=lambda sent: progress.sent(sent / size),
            )
        )
    done = alignment_of(answer)
    progress.audio_s = done.audio_s
    return done


def alignment_of(answer: dict[str, Any]) -> LineAlignment:
    """Convert a server's JSON."""
    from steno.alignment.drift import Drift
    from steno.alignment.timed_lines import TimedLine
    from steno.languages import code_of
    from steno.pipelines.known_text import LineAlignment
    from steno.types import Word

    lines = tuple(
        TimedLine(
            line["number"],
            line["text"],
            line["status"],
            line["section"],
            line["repeat"],
            line["start_s"],
            line["end_s"],
            line["confidence"],
            tuple(Word(word["word"], word["start"], word["end"], word.get("confidence")) for word in line["words"]),
        )
        for line in answer["lines"]
    )
    return LineAlignment(
        lines,
        answer["method"],
        code_of(answer["language"] or ""),
        answer["match_ratio"],
        Drift(**answer["drift"]) if answer["drift"] else None,
        answer["audio_s"],
        tuple(answer["warnings"]),
        stages_in(answer["timings"]),
    )
