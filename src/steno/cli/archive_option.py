"""The option of all commands of archives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def archive_option(function: F) -> F:
    """Add `--archive`."""
    return click.option(
        "--archive", "-a", "folder", type=click.Path(path_type=Path, file_okay=False), envvar="ARCHIVE_DIR",
        default="archive", show_default=True, metavar="DIR", help="The archive's folder. [ARCHIVE_DIR]",
    )(function)  # fmt: skip
