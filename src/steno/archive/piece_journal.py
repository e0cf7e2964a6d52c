"""What a stage has computed of a recording's pieces so far. It survives a SIGKILL at any moment."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, TypeVar

from pydantic import TypeAdapter

ResultT = TypeVar("ResultT")


class PieceJournal(Generic[ResultT]):
    """A file of lines `CHECKSUM JSON`, one a piece. Use it as a context manager.

    A line that was not written to its end has no right checksum: it and what follows it are cut off.
    """

    def __init__(self, path: Path, kind: TypeAdapter[ResultT]) -> None:
        self._path = path
        self._kind = kind
        self._file: IO[bytes] | None = None
        self.results: dict[int, ResultT] = {}
        """By the piece's number."""

    def __enter__(self) -> PieceJournal[ResultT]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+b", buffering=0)
        self._file.seek(0)
        valid = 0
        for number, result, end in _lines(self._file.read(), self._kind):
            self.results[number] = result
            valid = end
        self._file.truncate(valid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, number: int, result: ResultT) -> None:
        """Append a result. It is written in one call."""
        assert self._file is not None
        text = json.dumps([number, self._kind.dump_python(result, mode="json")]).encode()
        self._file.write(b"%08x %s\n" % (zlib.crc32(text), text))
        self.results[number] = result


def _lines(data: bytes, kind: TypeAdapter[Any]) -> Iterator[tuple[int, Any, int]]:
    """Number, result, and where its line ends, up to the first line that is damaged."""
    end = 0
    for line in data.splitlines(keepends=True):
        end += len(line)
        checksum, _, text = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
            return
        number, result = json.loads(text)
        yield number, kind.validate_python(result), end
