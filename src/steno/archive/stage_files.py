"""The content of the stages' result files."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from steno.errors import ArchiveError
from steno.types import Hypothesis, Segment, Transcript

LEVEL_STEP_S = 0.25
"""Loudness is measured over ranges of this length."""
SILENCE_DB = -100
"""Level of digital silence, and of what lies between pieces."""


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


def load(kind: type[FileT], path: Path) -> FileT:
    """Raises ArchiveError: the file is missing, or not what it should be."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror or error}") from None
    except ValidationError as error:
        raise ArchiveError(f"{path} is no {kind.__name__} file: {error.error_count()} problems") from None


def dump(content: StageFile) -> bytes:
    return content.model_dump_json().encode() + b"\n"
