"""Options of commands that always use a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
HERE = "http://127.0.0.1:8000"


def server_options(function: F) -> F:
    """Add `--url` and `--api-key`."""
    key = click.option("--api-key", envvar="STENO_API_KEY", metavar="KEY", help="Key for the server. [STENO_API_KEY]")
    url = click.option(
        "--url", envvar="STENO_URL", metavar="URL", default=HERE, show_default=True, help="The server. [STENO_URL]"
    )
    return url(key(function))
