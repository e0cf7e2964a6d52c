"""`QUANTIZE=int8`: smaller weights, the same words; refused where it cannot run."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch

from steno.backends.base import Recognize
from steno.backends.qwen.backend import QwenBackend
from steno.backends.qwen.checkpoint.loader import load_recogniser
from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
from steno.backends.qwen.model import quantize
from steno.errors import SettingsError
from tiny.clips import ASR, clips, word_error_rate


def test_int8_hears_what_fp32_hears() -> None:
    backend = QwenBackend(LoadOptions(str(ASR), device="cpu", quantize="int8"), EngineOptions(slots=8))
    backend.load(lambda *_: None)
    said = [clip for clip in clips().values() if "talk" not in clip.name]
    works = [Recognize(clip.audio) for clip in said]
    for work in works:
        backend.admit(work)
    heard: dict[Recognize, str] = {}
    while len(heard) < len(works):
        heard.update({done.work: done.outcome.text for done in backend.step()})  # type: ignore[union-attr, misc]
    assert word_error_rate([clip.text for clip in said], [heard[work] for work in works]) <= 0.05
    backend.unload()


def test_every_linear_layer_is_quantised() -> None:
    loaded = load_recogniser(LoadOptions(str(ASR), device="cpu", dtype="float32"), lambda *_: None)
    assert [module for module in loaded.model.modules() if type(module) is torch.nn.Linear]
    quantize.quantize(loaded.model, loaded.device)
    assert not [module for module in loaded.model.modules() if type(module) is torch.nn.Linear]


def test_where_it_cannot_run_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="not supported on mps"):
        quantize.check(torch.device("mps"))
    monkeypatch.setattr(quantize.importlib.util, "find_spec", lambda _: None)  # type: ignore[attr-defined]
    with pytest.raises(SettingsError, match="pip install torchao"):
        quantize.check(torch.device("cuda"))
