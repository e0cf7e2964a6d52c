"""`steno jobs`: work that a server does in the background."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path

import click

from steno.cli.job_lines import table_of
from steno.cli.job_submit import submit
from steno.cli.job_watch import watch_all
from steno.cli.main import EXIT_FAILED
from steno.cli.options import file_or_stdout
from steno.cli.server_options import server_options
from steno.client import Client
from steno.errors import StenoError
from steno.whole_file import write_whole


@click.group()
def command() -> None:
    """Jobs: work that a server does in the background.

    A job is stored by the server before `submit` returns. It goes on when this computer is switched off, and when the
    server is restarted or killed. Its result is kept for JOBS_KEEP_H hours (72). The server needs the setting JOBS_DB.

    \b
    steno jobs submit talk.mp4 --kind subtitles -f srt     prints the id of the job
    steno jobs watch                                       progress bars of the jobs that have not ended
    steno jobs result job_0123456789abcdef01234567 -o talk.srt
    steno jobs list

    Without --url or STENO_URL the server is the one on this machine, http://127.0.0.1:8000.
    """


@click.command("list")
@click.option("--limit", "-n", type=click.IntRange(1), default=20, show_default=True, help="The newest N jobs.")
@click.option("--all", "-a", "everything", is_flag=True, help="All jobs.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON list.")
@server_options
def list_jobs(limit: int, everything: bool, as_json: bool, url: str, api_key: str | None) -> int:
    """List the jobs of this API key, newest first.

    \b
    steno jobs list
    steno jobs list --all --json | jq -r '.[] | select(.state == "failed") | .id'
    """
    with Client(url, api_key) as client:
        jobs = client.jobs(None if everything else limit)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(job) for job in jobs], ensure_ascii=False, indent=1))
    elif jobs:
        click.echo(table_of(jobs))
    else:
        click.echo("no jobs", err=True)
    return 0


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@server_options
def watch(ids: tuple[str, ...], quiet: bool, url: str, api_key: str | None) -> int:
    """Wait for jobs, with a progress bar for each. Without IDs: for all that have not ended.

    Ctrl-C stops watching; the jobs go on. If the connection is lost, or the server restarts, it is tried again for five
    minutes. The exit code is 0 if all jobs succeeded, and 1 otherwise.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not ids:
        with Client(url, api_key) as client:
            ids = tuple(job.id for job in client.jobs(None) if not job.has_ended)
        if not ids:
            click.echo("no jobs are queued or running", err=True)
    return watch_all(url, api_key, ids, quiet=quiet) if ids else 0


@click.command()
@click.argument("job_id", metavar="ID")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), callback=file_or_stdout,
    help="Write to this file, not the terminal; - for the terminal.",
)  # fmt: skip
@server_options
def result(job_id: str, output: Path | None, url: str, api_key: str | None) -> int:
    """Print the result of a job, or write it to a file.

    The file is written whole, or not at all.

    \b
    steno jobs result job_0123456789abcdef01234567 -o talk.srt
    """
    with Client(url, api_key) as client:
        made = client.job_result(job_id)
    if output is None:
        click.echo(made.text, nl=False)
        return 0
    try:
        write_whole(output, made.content)
    except OSError as error:
        click.echo(f"steno: {output}: {error.strerror or error}", err=True)
        return EXIT_FAILED
    return 0


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--delete", is_flag=True, help="Also delete jobs that have ended, with their results.")
@server_options
def cancel(ids: tuple[str, ...], delete: bool, url: str, api_key: str | None) -> int:
    """Cancel jobs that are queued or running.

    A job that has ended is left alone, because its result would be deleted; --delete does that.
    """
    failures = 0
    with Client(url, api_key) as client:
        for job_id in ids:
            try:
                done = _cancel(client, job_id, delete)
            except StenoError as error:
                failures += 1
                click.echo(f"steno: {job_id}: {error.message}", err=True)
            else:
                click.echo(f"{job_id}: {done}", err=True)
    return EXIT_FAILED if failures else 0


def _cancel(client: Client, job_id: str, delete: bool) -> str:
    if delete:
        return "deleted" if client.delete_job(job_id).has_ended else "cancelled"
    job = client.cancel_job(job_id)
    return "cancelled" if job.state == "cancelled" else f"has ended ({job.state}); --delete deletes it, with its result"


for each in (submit, list_jobs, watch, result, cancel):
    command.add_command(each)
