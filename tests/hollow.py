"""Folders that look like Qwen3-ASR checkpoints from outside: made without torch, and no model comes of them."""

from __future__ import annotations

import json
import struct
from math import prod
from pathlib import Path
from typing import Any

NATIVE: dict[str, Any] = {"model_type": "qwen3_asr", "audio_config": {}, "text_config": {}}


def write_checkpoint(folder: Path, config: dict[str, Any] | None = None) -> Path:
    """All files that a checkpoint has; returns the folder."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config or NATIVE))
    write_weights(folder / "model.safetensors", {"a.weight": (1000, 30), "b.weight": (7,)})
    for file in ("tokenizer.json", "tokenizer_config.json", "processor_config.json"):
        (folder / file).write_text(json.dumps({"of": file}))
    return folder


def write_weights(file: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of zeros in bfloat16."""
    header, end = {}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end := end + 2 * prod(shape)]}
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))
