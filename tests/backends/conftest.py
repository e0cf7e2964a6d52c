from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from steno.audio.decode import decode

if TYPE_CHECKING:
    from steno.types import Audio


TEXTS = ("hello world", "language English<asr_text>yes and no", "the weather will be cold")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `recogniser` and `aligner` in native layout, and `recogniser-original` and `aligner-original`.

    Their weights are random; the biases of the convolutions too, which are zero at first and would hide mistakes.
    """
    torch = pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
    pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")
    from transformers.utils import logging as transformers_logging

    from steno.backends.qwen.checkpoint.legacy_layout import ALIGNER_TEMPLATE, RECOGNISER_TEMPLATE
    from tiny.original_layout import write_original
    from tiny.training import checkpoint

    transformers_logging.disable_progress_bar()
    torch.manual_seed(7)
    root = tmp_path_factory.mktemp("checkpoints")
    size = checkpoint.Size(encoder_layers=2, layers=2, width=64, ffn=128)
    listening = checkpoint.new_processor(iter(TEXTS), RECOGNISER_TEMPLATE)
    aligning = checkpoint.new_processor(iter(TEXTS), ALIGNER_TEMPLATE)
    for name, model, processor in (
        ("recogniser", checkpoint.new_asr(listening, size), listening),
        ("aligner", checkpoint.new_aligner(aligning, size), aligning),
    ):
        for parameter_name, parameter in model.named_parameters():
            if "conv" in parameter_name and parameter_name.endswith("bias"):
                torch.nn.init.normal_(parameter)
        checkpoint.save(model, processor, root / name)
        write_original(root / name, root / f"{name}-original")
    transformers_logging.enable_progress_bar()
    return root


@pytest.fixture(scope="session")
def recording(fixtures: Path) -> Callable[[str], Audio]:
    """Its audio, by the name of the file."""
    kept: dict[str, Audio] = {}

    def read(name: str) -> Audio:
        if name not in kept:
            kept[name] = np.concatenate(list(decode(fixtures / name, max_seconds=None)))
        return kept[name]

    return read
