from __future__ import annotations

from collections.abc import Iterator

import pytest

from running import RunningServer
from tiny.clips import ASR


@pytest.fixture(scope="session")
def unaligned() -> Iterator[RunningServer]:
    """The tiny Qwen checkpoint in float32, without an aligner: an import of torch and transformers, for all modules."""
    settings = {"ASR_BACKEND": "qwen", "MODEL_ID": str(ASR), "ALIGNER": "none", "PRELOAD": "true"}
    with RunningServer(**settings, DEVICE="cpu", QUANTIZE="none") as server:
        yield server
