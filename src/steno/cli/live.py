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
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from steno.cli.live_audio import LiveInput, from_file, from_microphone, from_stdin, until_stopped
from steno.cli.live_captions import CaptionFile
from steno.cli.live_request import LiveRequest
from steno.cli.live_view import View, clock_of, view_of
from steno.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from steno.cli.options import SPEAKER_COUNT, SpeakerRequest
from steno.errors import StenoError

if TYPE_CHECKING:
    from steno.client import SegmentEvent
    from steno.settings import Settings

ENCODINGS = ("pcm_s16le", "pcm_f32le", "mulaw", "alaw", "webm", "ogg", "mp4")
FAST_SPEAKER_TIMEOUT_S = 60.0
"""For `--fast`: text that comes faster than real time need not go without its speakers."""


@click.command()
@click.argument("file", required=False, metavar="FILE|-")
@click.option("--mic", is_flag=True, help="Listen to the microphone (needs the sounddevice package).")
@click.option("--device", metavar="NAME|N", help="Device for --mic: its number, or a part of its name.")
@click.option("--fast", is_flag=True, help="Process a file as fast as possible, not in real time.")
@click.option("--language", "-l", metavar="LANG", help="Code (en) or name (English). Default: detect.")
@click.option("--srt", type=click.Path(path_type=Path, dir_okay=False), help="Write SRT subtitles here, cue by cue.")
@click.option("--vtt", type=click.Path(path_type=Path, dir_okay=False), help="Write WebVTT subtitles here, cue by cue.")
@click.option(
    "--translate-to", metavar="LANG",
    help="Translate finals with the LLM of OPENAI_BASE_URL and TRANSLATE_MODEL; --srt x.srt also makes x.LANG.srt.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print partials and finals, one JSON object per line.")
@click.option("--words", is_flag=True, help="With --json: finals include word times.")
@click.option("--diarize", is_flag=True, help="Tell the speakers apart: each line has its speaker; not in subtitles.")
@click.option("--num-speakers", type=SPEAKER_COUNT, help="How many speakers there are, if that is known.")
@click.option("--max-speakers", type=SPEAKER_COUNT, help="At most so many speakers.")
@click.option(
    "--turn-detection", type=click.Choice(["silence", "smart"]),
    help="What ends an utterance: silence, or a judgement of pauses. Default: TURN_DETECTION, or the server's.",
)  # fmt: skip
@click.option(
    "--encoding",
    type=click.Choice(ENCODINGS),
    default="pcm_s16le",
    show_default=True,
    help="Encoding of standard input.",
)
@click.option(
    "--sample-rate", type=click.IntRange(8_000, 48_000), default=16_000, show_default=True,
    help="Sample rate of raw audio on standard input, Hz; mono.",
)  # fmt: skip
@click.option(
    "--url", envvar="STENO_URL", metavar="URL[,URL]",
    help="Use this server, not this process; further ones, comma-separated, take over from it. [STENO_URL]",
)  # fmt: skip
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
    diarize: bool,
    num_speakers: int | None,
    max_speakers: int | None,
    turn_detection: Literal["silence", "smart"] | None,
    encoding: str,
    sample_rate: int,
    url: str | None,
    api_key: str | None,
) -> int:
    """Caption live speech: a file in real time, standard input, or the microphone.

    In a terminal, draft text is dim, stable text is bright, and finished utterances scroll up. A pipe or a file gets
    one line per utterance. Without --url no server is needed; with it, a lost connection is resumed without losing
    audio.

    Ctrl-C ends the audio; the last words are still recognised. A second Ctrl-C ends at once. The exit code is then 130,
    but 0 with --mic, which ends in no other way.

    \b
    steno live talk.mp4
    steno live --mic --url http://gpu-box:8000 --vtt captions.vtt
    steno live talk.mp4 --fast --json | jq -r 'select(.is_final).text'
    ffmpeg -i rtmp://… -f s16le -ar 16000 -ac 1 - | steno live - --srt stream.srt
    """
    from steno import logs, settings

    if device is not None and not mic:
        raise click.UsageError("--device needs --mic")
    if words and not as_json:
        raise click.UsageError("--words needs --json")
    if (num_speakers or max_speakers) and not diarize:
        raise click.UsageError("--num-speakers and --max-speakers need --diarize")
    if num_speakers and max_speakers:
        raise click.UsageError("--num-speakers excludes --max-speakers")
    source = _source(file, mic, device, fast, encoding, sample_rate)
    speakers = SpeakerRequest(num_speakers, most=max_speakers) if diarize else None
    wants_words = words or bool(srt or vtt) or diarize
    request = LiveRequest(language, wants_words, translate_to, url, api_key, turn_detection, speakers)
    config = settings.load()
    if fast:
        config = config.model_copy(update={"speaker_timeout": FAST_SPEAKER_TIMEOUT_S})
    with _ends_on_broken_pipe(), ExitStack() as stack:
        files = [
            stack.enter_context(f) for f in _without_recording(_caption_files(srt, vtt, translate_to, config), file)
        ]
        view = stack.enter_context(view_of(as_json=as_json, words=words, speakers=diarize))
        # Set up the log after the view, so that log lines do not break its output.
        logs.setup("WARNING" if config.log_level == "INFO" else config.log_level, config.log_json)
        stack.enter_context(_logs_to(view, logging.INFO if source.in_real_time else logging.WARNING))
        return _LiveCommand(source, request, config, view, files).run()
    return EXIT_FAILED


class _LiveCommand:
    """Runs the command: recognises the audio, shows events, writes caption files."""

    def __init__(
        self, source: LiveInput, request: LiveRequest, settings: Settings, view: View, files: list[CaptionFile]
    ) -> None:
        self._source = source
        self._request = request
        self._settings = settings
        self._view = view
        self._files = files
        self._failures = 0

    def run(self) -> int:
        """Run and return the exit code."""
        try:
            interrupted = asyncio.run(self._run())
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._view.note("interrupted")
            return EXIT_INTERRUPTED
        if interrupted and not self._source.is_endless:
            self._view.note("interrupted; all audio before the interrupt was recognised")
            return EXIT_INTERRUPTED
        return EXIT_FAILED if self._failures else 0

    async def _run(self) -> bool:
        """Run; return whether it was interrupted once."""
        stop = asyncio.Event()
        _install_signal_handlers(stop, asyncio.current_task())
        from steno.cli.live_transcriber import caption_locally, caption_remotely

        request, audio = self._request, until_stopped(stop, self._source.chunks())
        if request.servers:
            await caption_remotely(request, self._source, audio, self._show_event)
        else:
            await caption_locally(self._settings, request, self._source, audio, self._show_event, self._report_lag)
        return stop.is_set()

    def _report_lag(self, behind_s: float) -> None:
        if self._source.in_real_time:
            self._view.note(f"{behind_s:.1f} s behind")

    def _show_event(self, event: SegmentEvent) -> None:
        from steno.client import Final

        self._view.show(event)
        if not isinstance(event, Final):
            return
        if event.error is not None:
            self._failures += 1
            self._view.note(f"{clock_of(event.start_s)}: recognition failed: {event.error.message}")
        if event.text and self._request.translate_to and event.translation is None:
            self._view.note(f"{clock_of(event.start_s)}: not translated")
        for file in self._files:
            file.add(event)


def _source(file: str | None, mic: bool, device: str | None, fast: bool, encoding: str, sample_rate: int) -> LiveInput:
    if mic == (file is not None):
        raise click.UsageError("expected one input: FILE, - for standard input, or --mic")
    if mic:
        return from_microphone(device)
    assert file is not None
    return from_stdin(encoding, sample_rate) if file == "-" else from_file(Path(file), in_real_time=not fast)


def _caption_files(srt: Path | None, vtt: Path | None, target: str | None, settings: Settings) -> Iterator[CaptionFile]:
    from steno import compose

    if srt is None and vtt is None:
        return
    if srt == vtt:
        raise click.UsageError("--srt and --vtt must be different files")
    style = compose.caption_style_of(settings, compose.LINE_CHARS, compose.LINES)
    for path in (srt, vtt):
        for language in (None, target) if target else (None,):
            if path is not None:
                yield CaptionFile(path, "srt" if path is srt else "vtt", style, language)


def _without_recording(files: Iterator[CaptionFile], recording: str | None) -> list[CaptionFile]:
    """Return the files. Raises UsageError if subtitles would overwrite the recording."""
    found = list(files)
    for subtitles in found:
        if recording and recording != "-" and subtitles.path.exists() and subtitles.path.samefile(recording):
            raise click.UsageError(f"{subtitles.path} is the recording; write the subtitles to another file")
    return found


def _install_signal_handlers(stop: asyncio.Event, task: asyncio.Task[bool] | None) -> None:
    """The first signal ends the audio, the second cancels the task."""

    def interrupt() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # on Windows, Ctrl-C is a KeyboardInterrupt
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)


@contextlib.contextmanager
def _logs_to(view: View, level: int) -> Iterator[None]:
    """Show the client's log messages about its connection in the view."""
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
def _ends_on_broken_pipe() -> Iterator[None]:
    """End without a traceback when the reader of standard output has closed it, also when Python flushes at exit."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise StenoError(f"{error.filename or 'output'}: {error.strerror or error}") from None
