"""`steno demo`: the whole way, from a server's start to its end, in one command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from importlib.resources import as_file, files

import click

from steno.client import Client, ServerError

START_S = 30.0


@click.command()
def command() -> None:
    """Start a server on a free port, transcribe the shipped sample through it, print the text, stop."""
    with tempfile.TemporaryFile("w+") as log:
        environment = {**os.environ, "PORT": "0", "HOST": "127.0.0.1"}
        server = subprocess.Popen(
            [sys.executable, "-m", "steno", "serve"], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
        try:
            url = _wait_for_url(server)
            click.echo(f"server up at {url}")
            with Client(url) as client, as_file(files("steno") / "sample.flac") as sample:
                began = time.monotonic()
                answer = client.transcribe(sample, {"response_format": "verbose_json"}).json()
                took = time.monotonic() - began
            click.echo(f"{answer['duration']:.1f} s of audio in {took:.1f} s, the start of the recogniser included:")
            click.echo(f"\n  {answer['text']}\n")
        except ServerError:
            log.seek(0)
            click.echo(log.read(), err=True)
            raise
        finally:
            server.terminate()
            code = server.wait(START_S)
            assert server.stdout is not None
            server.stdout.close()
        click.echo(f"server stopped with exit code {code}")


def _wait_for_url(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        if "is listening on" in line:
            return line.split()[-1]
    raise ServerError("the server ended before it was up")
