"""For Hugging Face's datasets: Parquet files with a row for each segment, its sound included as FLAC."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steno.archive.exports.exported_recording import ExportedRecording
from steno.archive.stages.audio_stage import write_flac
from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.captions.cues import CueStyle
from steno.errors import UnsupportedFeatureError
from steno.streaming.audio_buffer import AudioBuffer
from steno.types import SAMPLE_RATE, Segment
from steno.whole_file import new_file

if TYPE_CHECKING:
    import pyarrow as pa

    from steno.types import Audio

ROWS, MAX_FILE_BYTES = 64, 500_000_000
"""Rows in memory; and of a file, after which another one begins."""
FEATURES = {
    "id": {"dtype": "string", "_type": "Value"},
    "recording": {"dtype": "string", "_type": "Value"},
    "start_s": {"dtype": "float64", "_type": "Value"},
    "end_s": {"dtype": "float64", "_type": "Value"},
    "speaker": {"dtype": "string", "_type": "Value"},
    "text": {"dtype": "string", "_type": "Value"},
    "language": {"dtype": "string", "_type": "Value"},
    "confidence": {"dtype": "float64", "_type": "Value"},
    "audio": {"sampling_rate": SAMPLE_RATE, "_type": "Audio"},
}
"""What `datasets` reads the columns as."""


def export_parquet(recordings: Iterable[ExportedRecording], output: Path, style: CueStyle) -> None:
    """Write `data/train-00000.parquet`, ….

    Raises:
        UnsupportedFeatureError: pyarrow is not installed.
        AudioError, UnavailableError: audio cannot be decoded.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        text = "this format needs pyarrow: pip install 'steno[archive]'"
        raise UnsupportedFeatureError(text, param="format") from None

    schema = _schema(pa)
    rows = _rows(recordings)
    batch = list(islice(rows, ROWS))
    number = 0
    while batch or number == 0:
        with ExitStack() as opened:
            file = opened.enter_context(new_file(output / "data" / f"train-{number:05}.parquet"))
            writer = opened.enter_context(pq.ParquetWriter(file, schema, compression="zstd"))
            while batch and file.tell() < MAX_FILE_BYTES:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                batch = list(islice(rows, ROWS))
        number += 1
    for path in (output / "data").glob("train-*.parquet"):
        if path.stem > f"train-{number - 1:05}":  # of an earlier, larger export: it would be read with the others
            path.unlink()


def _schema(pa: Any) -> pa.Schema:
    word = [("text", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64()), ("confidence", pa.float64())]
    texts, numbers = ("id", "recording", "speaker", "text", "language"), ("start_s", "end_s", "confidence")
    types = {
        **dict.fromkeys(texts, pa.string()),
        **dict.fromkeys(numbers, pa.float64()),
        "audio": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    }
    words = {name: {"dtype": str(kind).replace("double", "float64"), "_type": "Value"} for name, kind in word}
    info = {"info": {"features": {**FEATURES, "words": [words]}}}
    fields = [(name, types[name]) for name in FEATURES]
    return pa.schema([*fields, ("words", pa.list_(pa.struct(word)))], metadata={"huggingface": json.dumps(info)})


def _rows(recordings: Iterable[ExportedRecording]) -> Iterator[dict[str, Any]]:
    decoders = DecoderPool(1)
    try:
        for recording in recordings:
            with closing(decoders.decode(recording.audio, max_seconds=None)) as chunks:
                yield from _rows_of(recording, chunks)
    finally:
        decoders.close()


def _rows_of(recording: ExportedRecording, chunks: Iterator[Audio]) -> Iterator[dict[str, Any]]:
    buffer = AudioBuffer()
    for segment in recording.transcript.segments:
        start, end = round(segment.start_s * SAMPLE_RATE), round(segment.end_s * SAMPLE_RATE)
        while buffer.end < end and (chunk := next(chunks, None)) is not None:
            buffer.append(chunk)
            buffer.forget_before(min(start, buffer.end))
        end = min(end, buffer.end)
        if start < end:
            yield _row(recording, segment, buffer.between(start, end))


def _row(recording: ExportedRecording, segment: Segment, audio: Audio) -> dict[str, Any]:
    name = f"{recording.id}-{segment.id}"
    packed = io.BytesIO()
    write_flac(packed, iter([audio]), lambda _seconds: None)
    return {
        "id": name,
        "recording": recording.id,
        "start_s": segment.start_s,
        "end_s": segment.end_s,
        "speaker": recording.speaker_of(segment),
        "text": segment.text,
        "language": segment.language,
        "confidence": segment.confidence,
        "audio": {"bytes": packed.getvalue(), "path": f"{name}.flac"},
        "words": [
            {"text": word.text, "start_s": word.start_s, "end_s": word.end_s, "confidence": word.confidence}
            for word in segment.words
        ],
    }
