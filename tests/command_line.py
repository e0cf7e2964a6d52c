"""The command line in this process: a process of its own takes most of a second of CPU to start."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

from loguru import logger

from steno.cli.main import main


def run_command(
    *words: str | Path, environment: Mapping[str, str], stdin: Path | str = os.devnull
) -> subprocess.CompletedProcess[str]:
    """Run `steno` with the arguments `words`, as a process with `environment` and the file `stdin` would."""
    out, err = io.StringIO(), io.StringIO()
    arguments = [str(word) for word in words]
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        open(stdin) as given,
        mock.patch("sys.argv", ["steno", *arguments]),
        mock.patch("sys.stdin", given),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            logger.remove()
    assert isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
