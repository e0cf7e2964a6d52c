"""Output of `steno live`: live captions in a terminal, lines of text or JSON elsewhere."""

from __future__ import annotations

import json
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from steno.client import Final, SegmentEvent


UNKNOWN_SPEAKER = "?"


class View(AbstractContextManager["View"], Protocol):
    def show(self, event: SegmentEvent) -> None: ...

    def note(self, text: str) -> None:
        """Show a message about the run."""


def view_of(*, as_json: bool, words: bool, speakers: bool) -> View:
    """The view for standard output. `words`: whether JSON has them; `speakers`: whether the view has them."""
    if as_json:
        return LineView(lambda event: json_of(event, words=words, speakers=speakers))
    if sys.stdout.isatty():
        return ScreenView(speakers=speakers)
    return LineView(lambda event: text_of(event, speakers=speakers))


class LineView:
    """Prints a line for each event for which `line_of` returns text."""

    def __init__(self, line_of: Any) -> None:
        self._line_of = line_of

    def __enter__(self) -> LineView:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: SegmentEvent) -> None:
        if line := self._line_of(event):
            click.echo(line)

    def note(self, text: str) -> None:
        click.echo(f"steno: {text}", err=True)


class ScreenView:
    """Shows the current utterance at the bottom, and finals above it, with their `speakers` if they are wanted."""

    def __init__(self, *, speakers: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._speakers = speakers
        self._console = Console(highlight=False)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=sys.stderr.isatty(),
        )

    def __enter__(self) -> ScreenView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.update("", refresh=True)
        self._live.stop()

    def show(self, event: SegmentEvent) -> None:
        from rich.text import Text

        from steno.client import Partial

        if isinstance(event, Partial):
            text = Text.assemble((event.stable, "bold"), (event.draft, "dim"))
            columns, rows = self._console.size
            self._live.update(text[-max(columns * (rows - 2), columns) :], refresh=True)
            return
        self._live.update("", refresh=True)
        for label, spoken in _spoken(event, speakers=self._speakers):
            self._print(Text.assemble((clock_of(event.start_s), "dim"), "  ", (label, "magenta"), spoken))
        if event.translation:
            self._print(Text(f"{' ' * len(clock_of(event.start_s))}  {event.translation}", "cyan"))

    def note(self, text: str) -> None:
        if sys.stderr.isatty():
            from rich.text import Text

            self._print(Text(f"steno: {text}", "yellow"))
        else:
            click.echo(f"steno: {text}", err=True)

    def _print(self, what: RenderableType) -> None:
        self._console.print(what, soft_wrap=True)


def clock_of(seconds: float) -> str:
    """`1:02:03`, or `02:03` in the first hour."""
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute:02}:{second:02}"


def json_of(event: SegmentEvent, *, words: bool, speakers: bool) -> str:
    """The event as a message of the server's native dialect."""
    from steno.client import Partial

    message: dict[str, Any] = {
        "text": event.text,
        "is_final": not isinstance(event, Partial),
        "segment_id": event.segment_id,
        "start_s": round(event.start_s, 4),
        "end_s": round(event.end_s, 4),
        "language": event.language,
    }
    if isinstance(event, Partial):
        message |= {"stable": event.stable, "draft": event.draft}
    else:
        message |= _details_of(event, words=words, speakers=speakers)
    return json.dumps(message, ensure_ascii=False)


def _details_of(final: Final, *, words: bool, speakers: bool) -> dict[str, Any]:
    details: dict[str, Any] = {"confidence": None if final.confidence is None else round(final.confidence, 4)}
    if words:
        details["words"] = [
            {
                "word": word.text,
                "start_s": round(word.start_s, 4),
                "end_s": round(word.end_s, 4),
                **({"speaker": word.speaker} if speakers else {}),
            }
            for word in final.words
        ]
    if speakers:
        details["speaker"] = final.speaker
    if final.translation is not None:
        details["translation"] = final.translation
    if final.error is not None:
        details["error"] = final.error.message
    return details


def text_of(event: SegmentEvent, *, speakers: bool) -> str:
    """The lines of a final, each with its speaker if `speakers` are wanted; empty for a partial."""
    from steno.client import Partial

    if isinstance(event, Partial) or not event.text:
        return ""
    text = "\n".join(label + part for label, part in _spoken(event, speakers=speakers))
    return f"{text}\n  {event.translation}" if event.translation else text


def _spoken(final: Final, *, speakers: bool) -> list[tuple[str, str]]:
    """The parts of a final's text with their labels. An unknown speaker has one too: a line without would seem to be of
    the speaker before."""
    from steno.pipelines.speaker_labels import speaker_runs

    if not final.text:
        return []
    if not speakers:
        return [("", final.text)]
    runs = speaker_runs(final.text, final.words) if final.speaker is not None else []
    parts = [(run.speaker, run.text) for run in runs] or [(final.speaker, final.text)]
    return [(f"{speaker or UNKNOWN_SPEAKER}: ", part) for speaker, part in parts]
