"""Raw samples in a file, read as the WAV file that they are the rest of. Nothing is copied."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from steno.audio.wav_header import RawFormat, wav_header

CONTAINERS = (b"RIFF", b"RF64", b"ID3", b"OggS", b"fLaC", b"\x1aE\xdf\xa3")
"""How recordings begin that need no header, whatever is said of them."""


def is_container(head: bytes) -> bool:
    """Whether a file that begins so says for itself what is in it."""
    return head.startswith(CONTAINERS) or head[4:8] == b"ftyp"


class HeaderedSamples(io.RawIOBase):
    """A WAV header, then all of `samples`."""

    def __init__(self, samples: BinaryIO, raw: RawFormat) -> None:
        self._samples = samples
        self._header = wav_header(raw, samples.seek(0, os.SEEK_END))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            offset += len(self._header) + self._samples.seek(0, os.SEEK_END)
        elif whence == os.SEEK_CUR:
            offset += self._at
        self._at = max(offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        head = self._header[self._at :] if size < 0 else self._header[self._at : self._at + size]
        wanted = -1 if size < 0 else size - len(head)
        self._samples.seek(max(self._at - len(self._header), 0))
        data = head + (self._samples.read(wanted) if wanted else b"")
        self._at += len(data)
        return data
