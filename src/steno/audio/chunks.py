"""Checks the sizes of texts in the `LIST INFO` of WAV and AVI files: FFmpeg allocates and clears them before reading.

32 KB claiming 2 GB cost 2 GB and 5 s in `ff_read_riff_info` (libavformat/riffdec.c).
"""

from __future__ import annotations

import struct

from steno.audio.source import GuardedReader
from steno.errors import UndecodableAudioError

MAX_MISSING_BYTES = 1_000_000
"""How far texts may extend past the end of the file: some files are truncated."""

MAX_CHUNKS = 100_000
"""Max chunks that are checked. An AVI has two per frame, but in `LIST movi`, which is skipped as a whole."""

_ORDER = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">"}


def check_chunks(reader: GuardedReader) -> None:
    """Raise `UndecodableAudioError` if a list of texts is longer than the file. Leaves the reader at its start."""
    file_bytes = reader.seek(0, 2)
    reader.seek(0)
    order = _ORDER.get(reader.read(12)[:4])
    at = 12 if order else file_bytes
    for _ in range(MAX_CHUNKS):
        reader.seek(at)
        header = reader.read(12)
        if len(header) < 12:
            break
        kind, size, list_kind = struct.unpack(f"{order}4sI4s", header)
        if kind == b"LIST" and list_kind == b"INFO" and at + 8 + size > file_bytes + MAX_MISSING_BYTES:
            raise UndecodableAudioError("The file is damaged: its header claims texts that are longer than the file.")
        is_entered = kind == b"LIST" and list_kind in (b"hdrl", b"strl", b"odml")
        at += 12 if is_entered else 8 + size + (size & 1)
    reader.seek(0)
