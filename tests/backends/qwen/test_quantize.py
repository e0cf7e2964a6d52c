"""`QUANTIZE`: smaller weights, the same words; refused where it cannot run."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch

from steno.backends.base import Recognize
from steno.backends.qwen.backend import QwenBackend
from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint, load_recogniser
from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
from steno.backends.qwen.model import quantize
from steno.backends.qwen.model.cuda.fp8_linear import Fp8Linear
from steno.backends.qwen.model.int8_conv import STRIP, Int8Conv2d, PatchConv2d, replacement_of
from steno.backends.qwen.model.int8_linear import Int8Linear
from steno.backends.qwen.model.memory_plan import MemoryShare
from steno.backends.qwen.model.memory_usage import weight_bytes
from steno.backends.qwen.model.model import AsrModel
from steno.backends.qwen.model.precision import agreement, greedy_tokens, load_in_precision
from steno.backends.qwen.model.projections import merge_projections
from steno.errors import SettingsError
from tiny.clips import ASR, clips, word_error_rate

ENGINE = EngineOptions(slots=2)


@pytest.mark.parametrize("precision", ["int8", "auto"])
def test_int8_hears_what_fp32_hears(precision: str) -> None:
    backend = QwenBackend(LoadOptions(str(ASR), device="cpu", quantize=precision), EngineOptions(slots=8))
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


def test_a_token_does_not_depend_on_its_neighbours() -> None:
    """With one scale for a whole call, a loud neighbour in another slot would change a text."""
    torch.manual_seed(0)
    layer = Int8Linear(torch.randn(24, 64), torch.randn(24))
    quiet, loud = torch.randn(3, 64), 1000 * torch.randn(5, 64)
    assert torch.equal(layer(torch.cat([loud, quiet]))[5:], layer(quiet))
    assert torch.equal(layer(quiet[None, 1:2])[0], layer(quiet)[1:2]), "and not on the shape"
    assert torch.equal(layer(torch.zeros(1, 64))[0], layer.bias), "zeros stay zero"


def test_a_product_is_exact_to_eight_bits() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(96, 256), torch.randn(40, 256)
    exact = x @ weight.T
    error = (Int8Linear(weight)(x) - exact).norm() / exact.norm()
    assert error < 0.015, "8 bits of a normal distribution's maximum, for both factors"


@pytest.mark.parametrize(("stride", "padding"), [(2, 1), (1, 0), ((2, 1), (0, 1))])
def test_a_convolution_is_exact_to_eight_bits(stride: Any, padding: Any) -> None:
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(32, 24, 3, stride, padding)
    x = torch.nn.functional.gelu(torch.randn(3, 32, 17, 10))
    exact = convolution(x)
    found = Int8Conv2d(convolution)(x)
    assert found.shape == exact.shape
    assert (found - exact).norm() / exact.norm() < 0.02


def test_a_convolved_chunk_does_not_depend_on_its_neighbours() -> None:
    torch.manual_seed(0)
    convolution = Int8Conv2d(torch.nn.Conv2d(32, 24, 3, 2, 1))
    x = torch.randn(3, 32, 17, 10)
    x[0] *= 1000
    x[2, 5, 3, 3] = torch.nan
    found = convolution(x)
    assert torch.equal(convolution(x[1:2]), found[1:2])
    assert found[2, :, :STRIP].isnan().all(), "one undefined value makes the rows near it undefined, and nothing else"
    assert not found[2, :, STRIP:].isnan().any()
    assert torch.equal(convolution(torch.zeros(1, 32, 3, 3))[0, :, 0, 0], convolution.bias), "zeros stay zero"


@pytest.mark.parametrize(("stride", "padding"), [(2, 1), (1, 0), ((2, 1), (0, 1))])
def test_a_convolution_of_one_channel_is_computed_in_fp32(stride: Any, padding: Any) -> None:
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(1, 24, 3, stride, padding)
    x = torch.randn(2, 1, 17, 10)
    found = PatchConv2d(convolution)(x)
    assert torch.allclose(found, convolution(x), atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_the_convolutions_of_the_encoder_are_replaced() -> None:
    loaded = load_recogniser(LoadOptions(str(ASR), device="cpu", dtype="float32"), lambda *_: None)
    quantize.quantize(loaded.model, loaded.device)
    tower = loaded.model.model.audio_tower
    kinds = [type(one) for one in (tower.conv2d1, tower.conv2d2, tower.conv2d3)]
    assert kinds == [PatchConv2d, Int8Conv2d, Int8Conv2d]
    assert replacement_of(torch.nn.Conv2d(32, 32, 3, groups=32)) is None
    assert replacement_of(torch.nn.Conv2d(32, 32, 3, dilation=2)) is None


def test_merged_projections_share_memory_with_the_originals() -> None:
    loaded = load_recogniser(LoadOptions(str(ASR), device="cpu", dtype="float32"), lambda *_: None)
    layer, before = loaded.model.model.language_model.layers[0], weight_bytes(loaded.model)
    x = torch.randn(5, layer.self_attn.q_proj.in_features)
    expected = torch.cat([getattr(layer.self_attn, f"{name}_proj")(x) for name in "qkv"], dim=-1)
    merge_projections(layer)
    assert torch.allclose(layer.self_attn.qkv_proj(x), expected, atol=1e-5)
    assert torch.allclose(layer.self_attn.q_proj(x), expected[:, : layer.self_attn.q_proj.out_features], atol=1e-5)
    assert weight_bytes(loaded.model) == before


def test_int8_keeps_weights_once() -> None:
    loaded = load_recogniser(LoadOptions(str(ASR), device="cpu", dtype="float32"), lambda *_: None)
    embedding = loaded.model.model.language_model.embed_tokens.weight
    values, before = embedding.clone(), weight_bytes(loaded.model)
    quantize.quantize(loaded.model, loaded.device)
    shrunk = loaded.model.model.language_model.embed_tokens.weight
    assert shrunk.dtype == torch.bfloat16
    assert torch.equal(shrunk.float(), values), "a bf16 checkpoint's values need no fp32"
    assert weight_bytes(loaded.model) < 0.45 * before


def test_where_it_cannot_run_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="not supported on mps"):
        quantize.check(torch.device("mps"))
    monkeypatch.setattr(quantize.importlib.util, "find_spec", lambda _: None)  # type: ignore[attr-defined]
    with pytest.raises(SettingsError, match="pip install torchao"):
        quantize.check(torch.device("cuda"))


def test_auto_takes_int8_where_the_clip_has_the_same_text() -> None:
    model = AsrModel.load(LoadOptions(str(ASR), device="cpu", quantize="auto"), ENGINE, 100, _ignore, MemoryShare())
    assert model.weight_bytes < 3e6, "a quarter of fp32's"
    tokens = greedy_tokens(model)
    assert len(tokens) > 5
    assert agreement(model, tokens) == 1.0
    assert agreement(model, [*tokens[:-1], tokens[-1] + 1]) == pytest.approx(1 - 1 / len(tokens))


def test_auto_keeps_fp32_where_int8_changes_the_text(monkeypatch: pytest.MonkeyPatch, logs: list[str]) -> None:
    """The int8 weights are another model's: noise was added to them."""

    def damaged(weight: torch.Tensor, bias: torch.Tensor | None = None) -> Int8Linear:
        return Int8Linear(weight + 0.5 * torch.randn(weight.shape), bias)

    torch.manual_seed(0)
    monkeypatch.setattr(quantize, "Int8Linear", damaged)
    model = AsrModel.load(LoadOptions(str(ASR), device="cpu", quantize="auto"), ENGINE, 100, _ignore, MemoryShare())
    assert any("as it does in fp32; using fp32" in line for line in logs)
    assert model.weight_bytes > 5e6


@pytest.mark.parametrize("options", [{"dtype": "bfloat16"}, {"dtype": "float32"}])
def test_auto_leaves_a_requested_dtype_alone(options: dict[str, str]) -> None:
    loaded = load_in_precision(LoadOptions(str(ASR), device="cpu", quantize="auto", **options), _ignore, _never)
    assert loaded.dtype == getattr(torch, options["dtype"])
    assert not [module for module in loaded.model.modules() if isinstance(module, Int8Linear)]


def test_fp8_is_refused_without_a_gpu() -> None:
    with pytest.raises(SettingsError, match="QUANTIZE=fp8 is not supported here: it needs a GPU, and this is cpu"):
        load_in_precision(LoadOptions(str(ASR), device="cpu", quantize="fp8"), _ignore, _never)


def test_fp8_is_refused_on_an_old_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 6))
    with pytest.raises(SettingsError, match=r"compute capability 8\.9, and this one has 8\.6"):
        quantize.check(torch.device("cuda"), "fp8")


def test_an_fp8_product_is_exact_to_its_three_bits() -> None:
    """torch has the kernel on CPUs too, slow but real."""
    torch.manual_seed(0)
    weight, bias, x = torch.randn(96, 256), torch.randn(96), torch.randn(5, 8, 256)
    exact = x @ weight.T + bias
    product = Fp8Linear(weight, bias)(x)
    assert product.shape == exact.shape
    assert (product - exact).norm() / exact.norm() < 0.05
    assert torch.equal(Fp8Linear(weight)(x[:1]), Fp8Linear(weight)(x)[:1]), "a row does not depend on its neighbours"


def test_fp8_quantises_the_language_models_layers_alone() -> None:
    loaded = load_recogniser(LoadOptions(str(ASR), device="cpu", dtype="bfloat16"), lambda *_: None)
    model = loaded.model.model
    quantize.replace_linear_layers(model.language_model.layers, quantize.to_fp8)
    assert any(isinstance(module, Fp8Linear) for module in model.language_model.modules())
    assert not any(isinstance(module, Fp8Linear) for module in model.audio_tower.modules())


def _ignore(done: float, what: str) -> None: ...


def _never(loaded: LoadedCheckpoint) -> AsrModel:
    raise AssertionError("nothing is checked")
