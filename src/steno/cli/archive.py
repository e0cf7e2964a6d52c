"""`steno archive`: recordings, and the datasets that are made of them."""

from __future__ import annotations

import click

from steno.cli.archive_add import add
from steno.cli.archive_export import export
from steno.cli.archive_run import run
from steno.cli.archive_serve import review
from steno.cli.archive_status import status, verify


@click.group()
def command() -> None:
    """Archives: from a pile of recordings to a dataset that can be trusted.

    An archive is a folder. Each recording in it goes through the stages probe, audio, pieces, transcript and words,
    with a chat log also chat and aligned. Its manifest says what was made from what, by which model. A stage runs again
    only if what it depends on has changed, and a run that was interrupted continues where it was.

    \b
    steno archive add vods/                     adds all recordings of a folder
    steno archive run --language en             computes what is missing
    steno archive status
    steno archive verify                        compares all files with their checksums
    steno archive review                        shows it in a browser: is the chat's clock right?
    steno archive export -f lhotse -o out       a dataset for training

    Without --archive or ARCHIVE_DIR the archive is the folder "archive" here.
    """


for each in (add, run, status, verify, review, export):
    command.add_command(each)
