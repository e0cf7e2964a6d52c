from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from steno.backends.qwen.checkpoint.loader import load_aligner, load_recogniser
from steno.backends.qwen.engine_options import LoadOptions
from steno.backends.qwen.model import memory_plan
from steno.errors import ModelLoadError, SettingsError

Tensors = dict[str, torch.Tensor]


def silent(_: float, __: str) -> None: ...


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("layout", ["recogniser", "recogniser-original"])
def test_a_recogniser_is_read_and_ready(checkpoints: Path, layout: str) -> None:
    folder = checkpoints / layout
    loaded = load_recogniser(LoadOptions(str(folder), device="cpu"), silent)
    assert type(loaded.model).__name__ == "Qwen3ASRForConditionalGeneration"
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32} == {loaded.dtype}
    assert loaded.device == torch.device("cpu")
    assert loaded.model.config._attn_implementation == "sdpa"
    assert loaded.source.folder == folder
    on_disk = load_file(folder / "model.safetensors")
    bias = next(value for name, value in on_disk.items() if name.endswith("audio_tower.conv2d1.bias"))
    assert torch.equal(loaded.model.model.audio_tower.conv2d1.bias, bias.float())


@pytest.mark.parametrize("layout", ["aligner", "aligner-original"])
def test_an_aligner_is_read_and_ready(checkpoints: Path, layout: str) -> None:
    loaded = load_aligner(LoadOptions(str(checkpoints / layout), device="cpu", dtype="bfloat16"), silent)
    assert type(loaded.model).__name__ == "Qwen3ASRForTokenClassification"
    assert loaded.model.score.weight.dtype == torch.bfloat16
    assert loaded.model.config.num_labels == 400


def test_the_output_and_the_input_embedding_are_one(checkpoints: Path) -> None:
    model = load_recogniser(LoadOptions(str(checkpoints / "recogniser-original"), device="cpu"), silent).model
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_loaded_model_does_not_hang_on_its_file(checkpoints: Path, tmp_path: Path, dtype: str) -> None:
    folder = shutil.copytree(checkpoints / "recogniser", tmp_path / "copy")
    model = load_recogniser(LoadOptions(str(folder), device="cpu", dtype=dtype), silent).model
    assert str(folder) not in Path("/proc/self/maps").read_text()
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    before = [parameter.clone() for parameter in model.parameters()]
    (folder / "model.safetensors").write_bytes(b"")
    assert all(map(torch.equal, before, model.parameters()))


def test_progress_rises_and_nothing_is_written(checkpoints: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[float, str]] = []
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    options = LoadOptions(str(checkpoints / "recogniser"), device="cpu")
    load_recogniser(options, lambda done, what: told.append((done, what)))
    parts = [done for done, _ in told]
    assert parts == sorted(parts)
    assert len(set(parts)) > 10
    assert 0 <= parts[0] < parts[-1] <= 1
    assert {what for _, what in told} == {"reading weights", "moving to cpu"}
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.get_verbosity() == verbosity
    assert transformers_logging.is_progress_bar_enabled() == bars


def test_a_core_is_left_to_the_server(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steno.backends.qwen.model.device.cores", lambda: 4)
    load_recogniser(LoadOptions(str(checkpoints / "recogniser"), device="cpu"), silent)
    assert torch.get_num_threads() == 3


def changed(folder: Path, tmp_path: Path, change: Callable[[Tensors], object]) -> Path:
    """A copy whose weights `change` has edited."""
    copy = shutil.copytree(folder, tmp_path / "changed")
    weights = load_file(copy / "model.safetensors")
    change(weights)
    save_file(weights, copy / "model.safetensors")
    return copy


def without_a_layer(weights: Tensors) -> None:
    for name in [name for name in weights if "layers.1.self_attn" in name]:
        del weights[name]


def with_a_stranger(weights: Tensors) -> None:
    weights["visual.patch.weight"] = torch.zeros(3)


def with_a_wider_norm(weights: Tensors) -> None:
    name = next(name for name in weights if name.endswith("audio_tower.ln_post.weight"))
    weights[name] = torch.zeros(65)


@pytest.mark.parametrize("layout", ["recogniser", "recogniser-original"])
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (without_a_layer, r"it lacks model\.audio_tower\.layers\.1\.self_attn\.k_proj\.bias, .* and \d+ more$"),
        (with_a_stranger, r"it has unexpected visual\.patch\.weight$"),
        (with_a_wider_norm, r"it has in an unexpected shape model\.audio_tower\.ln_post\.weight$"),
    ],
)
def test_weights_that_do_not_fit_the_configuration_are_refused_and_never_made_up(
    checkpoints: Path, tmp_path: Path, layout: str, change: Callable[[Tensors], object], complaint: str
) -> None:
    folder = changed(checkpoints / layout, tmp_path, change)
    with pytest.raises(ModelLoadError, match=rf"does not match its config\.json: {complaint}"):
        load_recogniser(LoadOptions(str(folder), device="cpu"), silent)


@pytest.mark.parametrize("name", ["tokenizer.json", "processor_config.json", "tokenizer_config.json"])
def test_a_damaged_file_beside_the_weights_is_a_failed_load(checkpoints: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(checkpoints / "recogniser", tmp_path / "copy")
    (folder / name).write_text("{")
    with pytest.raises(ModelLoadError, match="cannot be read: "):
        load_recogniser(LoadOptions(str(folder), device="cpu"), silent)


def test_a_configuration_of_impossible_numbers_is_a_failed_load(checkpoints: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoints / "recogniser", tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_attention_heads"] = "many"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match="cannot be read: "):
        load_recogniser(LoadOptions(str(folder), device="cpu"), silent)


def test_a_failed_load_leaves_torch_as_it_was(checkpoints: Path, tmp_path: Path) -> None:
    torch.set_num_threads(2)
    folder = changed(checkpoints / "recogniser", tmp_path, with_a_stranger)
    verbosity = transformers_logging.get_verbosity()
    with pytest.raises(ModelLoadError):
        load_recogniser(LoadOptions(str(folder), device="cpu", dtype="bfloat16"), silent)
    assert torch.get_num_threads() == 2
    assert torch.get_default_dtype() == torch.float32
    assert transformers_logging.get_verbosity() == verbosity


def test_each_kind_stays_in_its_place(checkpoints: Path) -> None:
    with pytest.raises(SettingsError, match=r"^MODEL_ID: .*is a forced aligner; set FORCED_ALIGNER_ID to it instead$"):
        load_recogniser(LoadOptions(str(checkpoints / "aligner-original"), device="cpu"), silent)
    with pytest.raises(SettingsError, match=r"^FORCED_ALIGNER_ID: .*is a recogniser; set MODEL_ID to it instead$"):
        load_aligner(LoadOptions(str(checkpoints / "recogniser"), device="cpu"), silent)


def test_what_does_not_fit_is_refused_before_it_is_read(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_plan, "host_free", lambda: 1_000_000)
    told: list[str] = []
    folder = str(checkpoints / "recogniser")
    with pytest.raises(ModelLoadError) as refused:
        load_recogniser(LoadOptions(folder, device="cpu"), lambda _, what: told.append(what))
    assert refused.value.message == f"{folder} needs 1.2 MB of memory; 1.0 MB are free"
    assert told == []


def test_half_the_width_needs_half_the_room(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_plan, "host_free", lambda: 1_000_000)
    load_recogniser(LoadOptions(str(checkpoints / "recogniser"), device="cpu", dtype="bfloat16"), silent)
