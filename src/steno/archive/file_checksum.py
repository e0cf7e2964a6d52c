"""Checksums of files, as manifests record them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from steno.archive.manifest import FileRecord


def record_of(path: Path, recorded: str) -> FileRecord:
    """Read a file. `recorded`: its path in the manifest. Raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileRecord(path=recorded, sha256=digest, bytes=file.tell())
