"""A file of raw samples, presented as a WAV file. Nothing is copied."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from steno.audio.wav_header import RawFormat, wav_header


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
