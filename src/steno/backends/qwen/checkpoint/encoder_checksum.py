"""The checksum of an encoder's weights: whether an exported encoder is that of a checkpoint."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from safetensors import safe_open

from steno.backends.qwen.checkpoint import legacy_layout, weights
from steno.backends.qwen.checkpoint.model_source import CheckpointSource

PREFIXES = ("model.audio_tower.", "model.multi_modal_projector.")


def encoder_checksum(source: CheckpointSource) -> str:
    """SHA-256 of the encoder's tensors: names, shapes and values as float32.

    Neither the layout nor the dtype of the files matters, and not what else is in them: a checkpoint that was
    converted has the same encoder.
    """
    mapping = legacy_layout.key_mapping(source.kind) if source.layout == "original" else {}
    found: dict[str, tuple[Any, str]] = {}
    for file in weights.weight_files(source.folder, source.model_id):
        with safe_open(file, framework="pt") as opened:
            for stored in opened.keys():  # noqa: SIM118 - it is not a mapping
                name = _native_name(stored, mapping)
                if name.startswith(PREFIXES):
                    found[name] = (file, stored)
    digest = hashlib.sha256()
    for name, (file, stored) in sorted(found.items()):
        with safe_open(file, framework="pt") as opened:
            tensor = opened.get_tensor(stored).float().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(memoryview(tensor.numpy()).cast("B"))
    return digest.hexdigest()


def _native_name(name: str, mapping: dict[str, str]) -> str:
    for pattern, replacement in mapping.items():
        replaced, count = re.subn(pattern, replacement, name)
        if count:
            return replaced
    return name
