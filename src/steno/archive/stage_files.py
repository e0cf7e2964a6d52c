"""The content of the stages' result files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from steno.errors import ArchiveError
from steno.types import Hypothesis, Segment, Transcript

LEVEL_STEP_S = 0.25
"""Loudness is measured over ranges of this length."""
SILENCE_DB = -100
"""Level of digital silence, and of what lies between pieces."""
SLICE_BYTES = 64 * 1024
"""JSON that `load_sliced` parses at once, in 1 to 2 ms."""


class StageFile(BaseModel):
    """Read a result with `load`, write one with `dump`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AudioPiece(StageFile):
    """A range of the audio that is recognised by itself; times are seconds of the recording."""

    start_s: float
    end_s: float
    speech: tuple[float, float] | None
    """Start of the first and end of the last detected speech; None = no speech."""
    speech_s: float
    """Seconds of detected speech."""


class Pieces(StageFile):
    """Result of the stage `pieces`."""

    duration_s: float
    pieces: tuple[AudioPiece, ...]
    level_step_s: float = LEVEL_STEP_S
    levels_db: tuple[int, ...]
    """RMS level of each `level_step_s` of the recording, in dB of full scale, from `SILENCE_DB` to 0."""


class RecognizedPieces(StageFile):
    """Result of the stage `transcript`: a hypothesis for each of the pieces; None = no speech."""

    hypotheses: tuple[Hypothesis | None, ...]


class TimedTranscript(StageFile):
    """Result of the stage `words`: the transcript with word times. Segments are in order and do not overlap."""

    text: str
    language: str | None
    duration_s: float
    segments: tuple[Segment, ...]

    def transcript(self) -> Transcript:
        return Transcript(self.text, self.language, self.duration_s, self.segments)


FileT = TypeVar("FileT", bound=StageFile)
ItemT = TypeVar("ItemT")


def load(kind: type[FileT], path: Path) -> FileT:
    """Raises ArchiveError: the file is missing, or not what it should be."""
    data = _read(path)
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise _damaged(kind, path, error) from None


def load_sliced(kind: type[FileT], path: Path, name: str, item: type[ItemT]) -> tuple[FileT, Iterator[ItemT]]:
    """Load a result without its list `name`, which is empty in it, and an iterator of the list's items.

    `load` holds the GIL for as long as it parses: 100 ms for the chat of some hours. The iterator holds it for
    `SLICE_BYTES` at a time, and keeps no more than these as objects, so that a collection of garbage is short as well.

    Raises:
        ArchiveError: as `load`, and also from the iterator.
    """
    data = _read(path)
    try:
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        items = msgspec.json.decode(fields.pop(name), type=list[msgspec.Raw])
        rest = kind.model_validate_json(msgspec.json.encode({**fields, name: []}))
    except (KeyError, msgspec.MsgspecError, ValidationError) as error:
        raise _damaged(kind, path, error) from None
    return rest, _parsed(kind, path, items, item)


def dump(content: StageFile) -> bytes:
    return content.model_dump_json().encode() + b"\n"


def _parsed(kind: type[StageFile], path: Path, items: Sequence[msgspec.Raw], item: type[ItemT]) -> Iterator[ItemT]:
    adapter = TypeAdapter(list[item], config=kind.model_config)  # type: ignore[valid-type]
    for part in _slices(items):
        try:
            yield from adapter.validate_json(b"[" + b",".join(part) + b"]")
        except ValidationError as error:
            raise _damaged(kind, path, error) from None


def _slices(items: Sequence[msgspec.Raw]) -> Iterator[list[bytes]]:
    """Of `SLICE_BYTES`, but for the last item of each."""
    part: list[bytes] = []
    size = 0
    for each in map(bytes, items):
        part.append(each)
        size += len(each)
        if size >= SLICE_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror or error}") from None


def _damaged(kind: type[StageFile], path: Path, error: Exception) -> ArchiveError:
    problems = error.error_count() if isinstance(error, ValidationError) else 1
    return ArchiveError(f"{path} is no {kind.__name__} file: {problems} problems")
