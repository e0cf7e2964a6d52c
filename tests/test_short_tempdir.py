from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from steno.short_tempdir import MAX_BYTES, short_tempdir


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_unix_socket_fits_wherever_temporary_files_go(
    letter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path's length is counted in bytes."""
    chosen = tmp_path / (letter * (MAX_BYTES - 10))
    chosen.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(chosen))
    with (
        tempfile.TemporaryDirectory(prefix="steno-", dir=short_tempdir()) as folder,
        socket.socket(socket.AF_UNIX) as made,
    ):
        made.bind(f"{folder}/worker.sock")


def test_a_short_folder_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")
    assert short_tempdir() == "/var/tmp"
