"""The command line. Commands import lazily, so that `steno --help` is fast."""

from __future__ import annotations

import os
import sys

import click

from steno import __version__
from steno.cli.collection import collection_paused
from steno.errors import StenoError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class _Group(click.Group):
    """Imports only the module of the command that runs."""

    names = ("serve", "transcribe", "align", "jobs", "archive", "live", "models", "export", "doctor", "demo")
    hidden_names = ("worker", "serve_front")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in (*self.names, *self.hidden_names):
            return None
        from importlib import import_module

        with collection_paused():
            command = import_module(f"steno.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="steno")
def cli() -> None:
    """Speech to text: a server with OpenAI's API, and commands for files and for live captions.

    \b
    steno serve                     start the server on http://127.0.0.1:8000
    steno transcribe talk.mp4       transcribe a file; no server needed
    steno align song.mp3 words.txt  find when each line of a known text is said
    steno jobs submit talk.mp4      let a server work on it while you are gone
    steno archive add vods/*.mp4    make a dataset of recordings; then: steno archive run
    steno live --mic                live captions; also of files and standard input
    steno doctor                    report what works on this machine, and what would improve it
    """


def main() -> None:
    """The entry point. Prints errors in one line; exit codes are 0, 1 (failed), 2 (usage), 130 (interrupted)."""
    # Before numpy is imported. OpenBLAS ends its threads when a process is forked, as uvloop does, and another thread's
    # product that is waiting for them never returns.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        code = cli(standalone_mode=False)
    except click.exceptions.Abort:
        code = EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = EXIT_USAGE
    except StenoError as error:
        click.echo(f"steno: {error.message.removeprefix(f'{error.code}: ')}", err=True)
        code = EXIT_USAGE if error.code == "invalid_settings" else EXIT_FAILED
    sys.exit(code if isinstance(code, int) else 0)
