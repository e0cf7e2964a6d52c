"""The splits of a dataset as Parquet, where pyarrow is installed."""

from __future__ import annotations

import json
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from steno.archive.dataset.dataset_writer import SPLITS
from steno.whole_file import new_file

ROWS = 5000
"""In memory."""


def write_parquet(output: Path) -> bool:
    """Write `train.parquet` and so on beside the JSONL files. Returns whether pyarrow is installed."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return False
    schema = _schema(pa)
    for split in SPLITS:
        with ExitStack() as opened:
            lines = opened.enter_context((output / f"{split}.jsonl").open(encoding="utf-8"))
            file = opened.enter_context(new_file(output / f"{split}.parquet"))
            writer = opened.enter_context(pq.ParquetWriter(file, schema, compression="zstd"))
            while batch := [json.loads(line) for line in islice(lines, ROWS)]:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    return True


def _schema(pa: Any) -> Any:
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    return pa.schema(
        [
            ("id", pa.string()),
            ("recording", pa.string()),
            ("time_s", pa.float64()),
            ("author", pa.string()),
            ("weight", pa.float64()),
            ("messages", pa.list_(message)),
        ]
    )
