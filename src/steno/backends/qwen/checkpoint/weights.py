"""Checks safetensors files by their headers: completeness, parameter count, dtypes.

The format (https://github.com/huggingface/safetensors#format): eight bytes with the header's length, the header
as JSON, then the tensors' bytes without gaps.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from steno.errors import ModelLoadError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MAX_HEADER = 100_000_000
"""Max header size that the safetensors library accepts, in bytes."""

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes per element, by dtype."""


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """What a checkpoint's weight files contain."""

    names: frozenset[str]
    parameters: int
    size_bytes: int
    """Size of all files on disk."""
    dtypes: frozenset[str]
    """Dtypes by the format's names: `BF16`, `F32`, …"""


NONE = WeightFiles(frozenset(), 0, 0, frozenset())


def examine(folder: Path, model_id: str) -> WeightFiles:
    """Read the headers of all weight files in `folder`. Tensors are not read.

    Raises:
        ModelLoadError: a file is missing, truncated or damaged; names it.
    """
    names: set[str] = set()
    dtypes: set[str] = set()
    parameters = size = 0
    for file in weight_files(folder, model_id):
        header = _header(file, model_id)
        names |= header.keys()
        dtypes |= {entry["dtype"] for entry in header.values()}
        parameters += sum(prod(entry["shape"]) for entry in header.values())
        size += file.stat().st_size
    return WeightFiles(frozenset(names), parameters, size, frozenset(dtypes))


def gigabytes(size: float) -> str:
    """A size in bytes as text: `1.6 GB`, or `3.0 MB` if small."""
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e6:.1f} MB"


def weight_files(folder: Path, model_id: str) -> list[Path]:
    """The safetensors files of a checkpoint. Raises ModelLoadError: there are none, or some are missing."""
    index = folder / INDEX
    if not index.is_file():
        single = folder / SINGLE
        if single.is_file():
            return [single]
        raise ModelLoadError(f"{model_id} has no weights: there is neither {SINGLE} nor {INDEX}{_others(folder)}")
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelLoadError(f"{model_id} is damaged: {INDEX} is not an index of weights; download it again") from None
    if not shards or not all(isinstance(name, str) and Path(name).name == name for name in shards):
        raise ModelLoadError(f"{model_id} is damaged: {INDEX} is not an index of weights; download it again")
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        raise ModelLoadError(
            f"{model_id} is not complete: {len(missing)} of {len(shards)} weight files are missing "
            f"({', '.join(missing[:3])}); download it again"
        )
    return [folder / name for name in shards]


def _others(folder: Path) -> str:
    if any(folder.glob("*.bin")) or any(folder.glob("*.gguf")):
        return "; .bin and .gguf files are not supported, only safetensors"
    return ""


def _header(file: Path, model_id: str) -> dict[str, Any]:
    """The tensors of one file by name: `dtype`, `shape`, `data_offsets`."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= MAX_HEADER:
            raise _damaged(file, model_id, "it is not a safetensors file" if size else "it is empty")
        text = stream.read(length)
    if len(text) < length:
        raise _damaged(file, model_id, "it is truncated")
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        end = max((_end(name, entry) for name, entry in header.items()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _damaged(file, model_id, "its header cannot be read") from None
    there, expected = size - 8 - length, end
    if there < expected:
        raise _damaged(file, model_id, f"it is truncated: {gigabytes(there)} of {gigabytes(expected)}")
    if there > expected:
        raise _damaged(file, model_id, "it is longer than its header says")
    return dict(header)


def _end(name: str, entry: dict[str, Any]) -> int:
    """End offset of the tensor's bytes. Raises ValueError if its size contradicts its shape."""
    begin, end = entry["data_offsets"]
    element = SIZES.get(entry["dtype"])
    if begin < 0 or end < begin or (element and end - begin != element * prod(entry["shape"])):
        raise ValueError(name)
    return int(end)


def _damaged(file: Path, model_id: str, how: str) -> ModelLoadError:
    return ModelLoadError(f"{model_id} is damaged: {file.name}: {how}; download it again")
