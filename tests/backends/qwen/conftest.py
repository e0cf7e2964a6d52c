from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hollow import write_checkpoint

if TYPE_CHECKING:
    from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint
    from steno.backends.qwen.encoders.encoder_file import EncoderDtype, EncoderRef


@pytest.fixture
def hollow(tmp_path: Path) -> Callable[..., Path]:
    """Makes folders that look like checkpoints, with `config` in their config.json."""

    def make(name: str = "model", **config: object) -> Path:
        return write_checkpoint(tmp_path / name, config)

    return make


@pytest.fixture(scope="session")
def loud(checkpoints: Path) -> LoadedCheckpoint:
    """A loaded recogniser with random weights so large that one token differs from the next."""
    from steno.backends.qwen.checkpoint.loader import load_recogniser
    from steno.backends.qwen.engine_options import LoadOptions

    loaded = load_recogniser(LoadOptions(str(checkpoints / "recogniser"), device="cpu", dtype="float32"), _silent)
    for parameter in loaded.model.parameters():
        if parameter.dim() > 1:
            parameter.data *= 4
    return loaded


@pytest.fixture(scope="session")
def trained() -> LoadedCheckpoint:
    """The checkpoint that has learned to listen."""
    pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
    from steno.backends.qwen.checkpoint.loader import load_recogniser
    from steno.backends.qwen.engine_options import LoadOptions
    from tiny.clips import ASR

    return load_recogniser(LoadOptions(str(ASR), device="cpu", dtype="float32"), _silent)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., EncoderRef]:
    """The file of a checkpoint's encoder, exported once; of the trained one, if none is named."""
    pytest.importorskip("onnx", reason="exporting needs it: pip install 'steno[export]'")
    from steno.backends.qwen.encoders.encoder_export import export_encoder
    from steno.backends.qwen.encoders.encoder_file import EncoderRef
    from steno.backends.qwen.engine_options import LoadOptions
    from tiny.clips import ASR

    folder, files = tmp_path_factory.mktemp("encoders"), {}

    def export(checkpoint: Path = ASR, dtype: EncoderDtype = "fp32") -> EncoderRef:
        key = f"{checkpoint.name}-{dtype}"
        if key not in files:
            files[key] = folder / f"{key}.zip"
            options = LoadOptions(str(checkpoint), device="cpu", dtype="float32")
            export_encoder(options, files[key], None, dtype, _silent)
        return EncoderRef(files[key], "onnxruntime")

    return export


def _silent(*_: object) -> None:
    return None
