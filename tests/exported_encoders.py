"""Encoders in files, and what to give them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint, load_recogniser
from steno.backends.qwen.encoders.encoder_file import EncoderRef, open_encoder_file, write_encoder_file
from steno.backends.qwen.engine_options import LoadOptions


def silent(*_: object) -> None:
    return None


def on_cpu(folder: Path) -> LoadOptions:
    return LoadOptions(str(folder), device="cpu", dtype="float32")


def load(folder: Path) -> LoadedCheckpoint:
    return load_recogniser(on_cpu(folder), silent)


def rewritten(ref: EncoderRef, path: Path, **changes: Any) -> EncoderRef:
    """A copy of a file with another manifest."""
    file = open_encoder_file(ref)
    parts = {part: file.part(part) for part in ("convolution", "attention")}
    write_encoder_file(path, replace(file.manifest, **changes), parts)
    return EncoderRef(path, changes.get("runtime", ref.runtime))


def inputs(loaded: LoadedCheckpoint, rows: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    config: Any = loaded.model.config
    generator = torch.Generator().manual_seed(rows)
    mel = torch.randn(rows, config.audio_config.num_mel_bins, 100, generator=generator)
    lengths = torch.randint(1, 105, (rows,), generator=generator).tolist()
    return mel, [torch.randn(length, config.audio_config.d_model, generator=generator) for length in lengths]
