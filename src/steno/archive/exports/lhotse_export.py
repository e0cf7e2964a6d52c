"""For lhotse: recordings and supervisions with word alignments, as JSONL (https://lhotse.readthedocs.io)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from steno.archive.exports.exported_recording import ExportedRecording
from steno.captions.cues import CueStyle
from steno.types import SAMPLE_RATE, Segment
from steno.whole_file import new_file


def export_lhotse(recordings: Iterable[ExportedRecording], output: Path, style: CueStyle) -> None:
    """Write `recordings.jsonl.gz` and `supervisions.jsonl.gz`."""
    with (
        _gzipped(output / "recordings.jsonl.gz") as recording_lines,
        _gzipped(output / "supervisions.jsonl.gz") as supervision_lines,
    ):
        for recording in recordings:
            recording_lines.write(_line(_recording(recording)))
            for segment in recording.transcript.segments:
                supervision_lines.write(_line(_supervision(recording, segment)))


@contextmanager
def _gzipped(path: Path) -> Iterator[BinaryIO]:
    """The same content gives the same bytes: without a time and a name."""
    with new_file(path) as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        yield cast("BinaryIO", packed)


def _recording(recording: ExportedRecording) -> dict[str, Any]:
    return {
        "id": recording.id,
        "sources": [{"type": "file", "channels": [0], "source": str(recording.audio)}],
        "sampling_rate": SAMPLE_RATE,
        "num_samples": recording.samples,
        "duration": recording.samples / SAMPLE_RATE,
        "channel_ids": [0],
    }


def _supervision(recording: ExportedRecording, segment: Segment) -> dict[str, Any]:
    end_s = min(segment.end_s, recording.samples / SAMPLE_RATE)
    words = [(word.text, word.start_s, min(word.end_s, end_s), word.confidence) for word in segment.words]
    return {
        "id": f"{recording.id}-{segment.id}",
        "recording_id": recording.id,
        "start": _rounded(segment.start_s),
        "duration": _rounded(end_s - segment.start_s),
        "channel": 0,
        "text": segment.text,
        **({"speaker": recording.speaker_of(segment)} if segment.speaker else {}),
        **({"language": segment.language} if segment.language else {}),
        **({"alignment": {"word": [_word(*word) for word in words]}} if words else {}),
        **({"custom": {"confidence": _rounded(segment.confidence)}} if segment.confidence is not None else {}),
    }


def _word(text: str, start_s: float, end_s: float, confidence: float | None) -> list[str | float | None]:
    """An `AlignmentItem`: symbol, start, duration, score."""
    return [text, _rounded(start_s), _rounded(end_s - start_s), None if confidence is None else _rounded(confidence)]


def _rounded(seconds: float) -> float:
    return round(seconds, 4)


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"
