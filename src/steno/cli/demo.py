"""`steno demo`: starts a server, transcribes the shipped sample, stops the server."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import IO

import click

from steno.client import Client, ServerError
from steno.errors import StenoError

SERVE = (sys.executable, "-m", "steno", "serve")
START_S = 60.0
STOP_S = 45.0
"""Time limit for stopping the server; longer than a drain takes."""

OF_THE_RECOGNISER = ("Model", "Qwen engine", "Logs")
"""Groups of settings that the demo's server inherits."""


@click.command()
def command() -> None:
    """Start a server on a free port, transcribe the shipped sample through it, print the text, stop.

    The recogniser is the one that `steno serve` would use. Ports, keys, certificates and limits are not inherited.
    """
    demonstrate(SERVE)


def demonstrate(serve: Sequence[str], stop_s: float = STOP_S) -> None:
    """Run the demo on the server that the command `serve` starts.

    Raises:
        StenoError: a part failed. The server's log has been printed to stderr.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        try:
            with _server(serve, log, stop_s) as server:
                url = _wait_for_url(server)
                click.echo(f"server up at {url}")
                _transcribe(url)
            click.echo(f"server stopped with exit code {server.returncode}")
            if server.returncode:
                raise ServerError(f"the server ended with exit code {server.returncode}; expected 0")
        except StenoError:
            log.seek(0)
            click.echo(log.read(), err=True)
            raise


def environment_of(inherited: Mapping[str, str]) -> dict[str, str]:
    """Environment of the demo's server: a free local port, and no setting that would refuse the demo."""
    from steno.settings import Settings

    dropped = {
        name.upper()
        for name, field in Settings.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra["group"] not in OF_THE_RECOGNISER
    }
    kept = {name: value for name, value in inherited.items() if name.upper() not in dropped}
    return {**kept, "HOST": "127.0.0.1", "PORT": "0"}


@contextmanager
def _server(serve: Sequence[str], log: IO[str], stop_s: float) -> Iterator[subprocess.Popen[str]]:
    """Start the server; on exit stop it, and kill it after `stop_s`."""
    with subprocess.Popen(
        serve, stdout=subprocess.PIPE, stderr=log, text=True, env=environment_of(os.environ)
    ) as server:
        try:
            yield server
        finally:
            server.terminate()
            try:
                server.wait(stop_s)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_for_url(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    too_late = threading.Timer(START_S, server.kill)
    too_late.start()
    try:
        for line in server.stdout:
            if "is listening on" in line:
                return line.split()[-1]
    finally:
        too_late.cancel()
    raise ServerError("the server ended before it was up")


def _transcribe(url: str) -> None:
    with Client(url) as client, as_file(files("steno") / "sample.flac") as sample:
        began = time.monotonic()
        answer = client.post(sample, {"response_format": "verbose_json"}).json()
        took = time.monotonic() - began
    if not answer["text"].strip():
        raise ServerError("the server recognised no text in the sample, which is a sentence about the weather")
    click.echo(f"{answer['duration']:.1f} s of audio in {took:.1f} s, including the start of the recogniser:")
    click.echo(f"\n  {answer['text']}\n")
