"""`steno live`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steno.cli.live_audio import LiveInput, from_file, from_microphone, from_stdin, until
from steno.cli.live_captions import CaptionFile
from steno.cli.live_view import View, clock_of, view_of
from steno.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from steno.errors import StenoError

if TYPE_CHECKING:
    from steno.client import Event
    from steno.settings import Settings

ENCODINGS = ("pcm_s16le", "pcm_f32le", "mulaw", "alaw", "webm", "ogg", "mp4")


@dataclass(frozen=True, slots=True)
class LiveRun:
    """The options of the command line that say what to do with the audio."""

    language: str | None
    words: bool
    translate_to: str | None
    url: str | None
    api_key: str | None


@click.command()
@click.argument("file", required=False, metavar="FILE|-")
@click.option("--mic", is_flag=True, help="Listen to the microphone (needs the sounddevice package).")
@click.option("--device", metavar="NAME|N", help="With --mic: which one; a number, or a part of its name.")
@click.option("--fast", is_flag=True, help="A file as fast as it is recognised, not as it is spoken.")
@click.option("--language", "-l", metavar="LANG", help="Code (en) or name (English). Default: detect.")
@click.option("--srt", type=click.Path(path_type=Path, dir_okay=False), help="Write subtitles here as they settle.")
@click.option("--vtt", type=click.Path(path_type=Path, dir_okay=False), help="The same as WebVTT.")
@click.option(
    "--translate-to", metavar="LANG",
    help="Translate what is final, with the LLM of OPENAI_BASE_URL and TRANSLATE_MODEL; --srt x.srt makes x.LANG.srt.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: partials and finals.")
@click.option("--words", is_flag=True, help="With --json: finals have the times of their words.")
@click.option(
    "--encoding", type=click.Choice(ENCODINGS), default="pcm_s16le", show_default=True, help="Of standard input."
)
@click.option(
    "--sample-rate", type=click.IntRange(8_000, 48_000), default=16_000, show_default=True,
    help="Of raw audio on standard input, Hz; mono.",
)  # fmt: skip
@click.option("--url", envvar="STENO_URL", metavar="URL", help="Let this server do it, not this process. [STENO_URL]")
@click.option("--api-key", envvar="STENO_API_KEY", metavar="KEY", help="Key for --url. [STENO_API_KEY]")
def command(
    file: str | None,
    mic: bool,
    device: str | None,
    fast: bool,
    language: str | None,
    srt: Path | None,
    vtt: Path | None,
    translate_to: str | None,
    as_json: bool,
    words: bool,
    encoding: str,
    sample_rate: int,
    url: str | None,
    api_key: str | None,
) -> int:
    """Caption speech while it is spoken: a file in real time, standard input as it comes, or the microphone.

    In a terminal the captions settle in place: what may still change is dim, what stays is bright, and finished
    utterances scroll up. Into a pipe or a file goes one line for each utterance. Without --url no server is needed;
    with it, a connection that is lost is taken up again without losing a word.

    Ctrl-C ends the audio: the last words are still recognised. A second Ctrl-C ends at once. The exit code is then 130,
    but 0 with --mic, which ends no other way.

    \b
    steno live talk.mp4
    steno live --mic --url http://gpu-box:8000 --vtt captions.vtt
    steno live talk.mp4 --fast --json | jq -r 'select(.is_final).text'
    ffmpeg -i rtmp://… -f s16le -ar 16000 -ac 1 - | steno live - --srt stream.srt
    """
    from steno import logs, settings

    if device is not None and not mic:
        raise click.UsageError("--device is for --mic")
    if words and not as_json:
        raise click.UsageError("--words shows in --json")
    source = _source(file, mic, device, fast, encoding, sample_rate)
    wish = LiveRun(language, words or bool(srt or vtt), translate_to, url, api_key)
    chosen = settings.load()
    with _broken_pipe_ends(), ExitStack() as stack:
        files = [stack.enter_context(f) for f in _checked(_caption_files(srt, vtt, translate_to, chosen), file)]
        view = stack.enter_context(view_of(as_json=as_json, words=words))
        # Only now: what is logged must not break what the view has on the screen.
        logs.setup("WARNING" if chosen.log_level == "INFO" else chosen.log_level, chosen.log_json)
        stack.enter_context(_told_to(view, logging.INFO if source.in_real_time else logging.WARNING))
        return _Show(source, wish, chosen, view, files).run()
    return EXIT_FAILED


class _Show:
    """From the audio to everything that is made of it."""

    def __init__(
        self, source: LiveInput, wish: LiveRun, settings: Settings, view: View, files: list[CaptionFile]
    ) -> None:
        self._source = source
        self._wish = wish
        self._settings = settings
        self._view = view
        self._files = files
        self._failures = 0

    def run(self) -> int:
        """The exit code."""
        try:
            interrupted = asyncio.run(self._run())
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._view.note("interrupted")
            return EXIT_INTERRUPTED
        if interrupted and not self._source.is_endless:
            self._view.note("interrupted; what was said until then is all there")
            return EXIT_INTERRUPTED
        return EXIT_FAILED if self._failures else 0

    async def _run(self) -> bool:
        """Whether it was interrupted, once."""
        stop = asyncio.Event()
        _obey_signals(stop, asyncio.current_task())
        from steno.cli.live_transcriber import at_server, here

        wish, audio = self._wish, until(stop, self._source.chunks())
        if wish.url:
            await at_server(wish, self._source, audio, self._tell)
        else:
            await here(self._settings, wish, self._source, audio, self._tell, self._lags)
        return stop.is_set()

    def _lags(self, behind_s: float) -> None:
        if self._source.in_real_time:
            self._view.note(f"{behind_s:.1f} s behind")

    def _tell(self, event: Event) -> None:
        from steno.client import Final

        self._view.show(event)
        if not isinstance(event, Final):
            return
        if event.error is not None:
            self._failures += 1
            self._view.note(f"{clock_of(event.start_s)}: not all was recognised: {event.error.message}")
        if event.text and self._wish.translate_to and event.translation is None:
            self._view.note(f"{clock_of(event.start_s)}: not translated")
        for file in self._files:
            file.add(event)


def _source(file: str | None, mic: bool, device: str | None, fast: bool, encoding: str, sample_rate: int) -> LiveInput:
    if mic == (file is not None):
        raise click.UsageError("what is to be heard? A FILE, - for standard input, or --mic")
    if mic:
        return from_microphone(device)
    assert file is not None
    return from_stdin(encoding, sample_rate) if file == "-" else from_file(Path(file), in_real_time=not fast)


def _caption_files(srt: Path | None, vtt: Path | None, target: str | None, settings: Settings) -> Iterator[CaptionFile]:
    from steno import compose

    if srt is None and vtt is None:
        return
    if srt == vtt:
        raise click.UsageError("--srt and --vtt are two files")
    style = compose.caption_style_of(settings, compose.LINE_CHARS, compose.LINES)
    for path in (srt, vtt):
        for language in (None, target) if target else (None,):
            if path is not None:
                yield CaptionFile(path, "srt" if path is srt else "vtt", style, language)


def _checked(files: Iterator[CaptionFile], recording: str | None) -> list[CaptionFile]:
    """Raises UsageError: the subtitles would be written over what is to be heard."""
    found = list(files)
    for subtitles in found:
        if recording and recording != "-" and subtitles.path.exists() and subtitles.path.samefile(recording):
            raise click.UsageError(f"{subtitles.path} is the recording: subtitles go into a file of their own")
    return found


def _obey_signals(stop: asyncio.Event, task: asyncio.Task[bool] | None) -> None:
    """The first one ends the audio, the second one everything."""

    def interrupt() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C is a KeyboardInterrupt there
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)


@contextlib.contextmanager
def _told_to(view: View, level: int) -> Iterator[None]:
    """What the client logs of its connection is shown like everything else that the user is told."""
    log, handler = logging.getLogger("steno.client"), _Handler(view.note)
    log.addHandler(handler)
    log.setLevel(level)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        self._note(record.getMessage())


@contextlib.contextmanager
def _broken_pipe_ends() -> Iterator[None]:
    """Whoever read standard output has enough: no reason for a traceback, now or when Python flushes it at the end."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise StenoError(f"{error.filename or 'output'}: {error.strerror or error}") from None
