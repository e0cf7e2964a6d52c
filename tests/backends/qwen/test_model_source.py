from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hollow import write_weights
from steno.backends.qwen.checkpoint.model_source import CheckpointSource, ModelRef, is_hub_id, resolve
from steno.errors import ModelLoadError, SettingsError, StenoError

Make = Callable[..., Path]


def silent(_: float, __: str) -> None: ...


def refused(kind: type[StenoError], wanted: ModelRef) -> str:
    with pytest.raises(kind) as caught:
        resolve(wanted, silent)
    assert type(caught.value) is kind
    return caught.value.message


def test_importing_it_is_light() -> None:
    code = "import sys, steno.backends.qwen.checkpoint.model_source, steno.backends.qwen.installed; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded).isdisjoint({"torch", "transformers", "huggingface_hub", "httpx", "numpy"})


def test_a_native_folder_is_taken_as_it_is(hollow: Make) -> None:
    folder = hollow()
    size = (folder / "model.safetensors").stat().st_size
    found = resolve(ModelRef(str(folder), allowlist=()), silent)
    assert found == CheckpointSource(str(folder), folder, "native", "recogniser", 30_007, size, frozenset({"BF16"}))


def test_a_folder_may_be_below_the_home(hollow: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(hollow().parent))
    assert resolve(ModelRef("~/model"), silent).kind == "recogniser"


def test_the_original_layout_is_told_apart(hollow: Make) -> None:
    folder = hollow(model_type="qwen3_asr", thinker_config={"audio_config": {}, "text_config": {}})
    (folder / "processor_config.json").unlink()
    assert resolve(ModelRef(str(folder)), silent).layout == "original"


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "qwen3_asr", "thinker_config": {"classify_num": 5000}},
        {"model_type": "qwen3_forced_aligner", "thinker_config": {"classify_num": 5000}},
        {"model_type": "qwen3_asr", "architectures": ["Qwen3ASRForTokenClassification"],
         "audio_config": {}, "text_config": {}},
    ],
)  # fmt: skip
def test_an_aligner_is_no_recogniser(hollow: Make, config: dict[str, object]) -> None:
    folder = str(hollow(**config))
    assert resolve(ModelRef(folder, kind="aligner"), silent).kind == "aligner"
    assert resolve(ModelRef(folder, kind=None), silent).kind == "aligner"
    assert refused(SettingsError, ModelRef(folder)) == (
        f"MODEL_ID: {folder} is a forced aligner; set FORCED_ALIGNER_ID to it instead"
    )


def test_a_recogniser_is_no_aligner(hollow: Make) -> None:
    folder = str(hollow())
    assert refused(SettingsError, ModelRef(folder, kind="aligner")) == (
        f"FORCED_ALIGNER_ID: {folder} is a recogniser; set MODEL_ID to it instead"
    )


@pytest.mark.parametrize(
    "name",
    [
        "/no/such/folder",
        "./here",
        "whisper",
        "a/b/c",
        "../up",
        "org/",
        "a\\b",
        "org/a b",
        "org/a..b",
        "a--b/c",
        "a/b.git",
        "a/b-",
    ],
)
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(name: str) -> None:
    assert not is_hub_id(name)
    assert refused(SettingsError, ModelRef(name)) == (
        f"MODEL_ID: there is no folder {name}, and it is not a hub id like Qwen/Qwen3-ASR-0.6B"
    )


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("openai/whisper-tiny", ("Qwen/*",)),
        ("Qwen-fake/Qwen3-ASR-0.6B", ("Qwen/*",)),
        ("qwen/Qwen3-ASR-0.6B", ("Qwen/*",)),
        ("Qwen/Qwen3-ASR-0.6B", ()),
    ],
)
def test_a_hub_id_that_the_allow_list_has_not_is_refused_before_the_hub_is_asked(
    name: str, allowed: tuple[str, ...]
) -> None:
    message = refused(SettingsError, ModelRef(name, allowlist=allowed))
    assert message.startswith(f"MODEL_ID: {name} is not in MODEL_ALLOWLIST ({', '.join(allowed) or 'empty'})")


def test_another_model_is_named(hollow: Make) -> None:
    folder = str(hollow(model_type="whisper"))
    assert refused(SettingsError, ModelRef(folder)) == f"MODEL_ID: {folder} is a whisper checkpoint, not Qwen3-ASR"


def test_a_configuration_without_a_type_is_refused(hollow: Make) -> None:
    folder = str(hollow(hidden_size=4))
    message = refused(SettingsError, ModelRef(folder))
    assert message == f"MODEL_ID: {folder} is a checkpoint of unknown type, not Qwen3-ASR"


def test_a_configuration_that_says_nothing_of_the_model_is_refused(hollow: Make) -> None:
    """transformers would take it for a 1.7B model and fill in the numbers."""
    folder = hollow(model_type="qwen3_asr")
    assert "neither thinker_config nor audio_config and text_config" in refused(ModelLoadError, ModelRef(str(folder)))


def test_a_quantised_checkpoint_is_refused(hollow: Make) -> None:
    folder = hollow(model_type="qwen3_asr", audio_config={}, text_config={}, quantization_config={"bits": 4})
    assert "is quantised, which is not supported" in refused(SettingsError, ModelRef(str(folder)))


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("config.json", "has no config.json: it is not a model folder"),
        ("model.safetensors", "has no weights: there is neither model.safetensors nor model.safetensors.index.json"),
        ("tokenizer.json", "has no tokenizer: neither tokenizer.json nor vocab.json and merges.txt"),
        ("tokenizer_config.json", "has no tokenizer_config.json"),
        ("processor_config.json", "has no processor_config.json"),
    ],
)
def test_a_file_that_is_missing_is_named(hollow: Make, file: str, complaint: str) -> None:
    folder = hollow()
    (folder / file).unlink()
    assert refused(ModelLoadError, ModelRef(str(folder))) == f"{folder} {complaint}"


def test_weights_of_another_format_are_not_read(hollow: Make) -> None:
    folder = hollow()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "only safetensors" in refused(ModelLoadError, ModelRef(str(folder)))


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff\xfe", '"qwen3_asr"'])
def test_a_damaged_configuration_is_named(hollow: Make, text: str) -> None:
    folder = hollow()
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    assert f"{folder} is damaged: config.json" in refused(ModelLoadError, ModelRef(str(folder)))


def cut_off(data: bytes) -> bytes:
    return data[:-20_007]


def cut_in_the_header(data: bytes) -> bytes:
    return data[:50]


def emptied(_: bytes) -> bytes:
    return b""


def overlong(data: bytes) -> bytes:
    return data + b"x"


def of_another_format(data: bytes) -> bytes:
    return b"PK\x03\x04\x14\x00\x06\x00" + data


def with_garbage_in_the_header(data: bytes) -> bytes:
    return data[:8] + b"#" + data[9:]


def with_a_wrong_shape(data: bytes) -> bytes:
    return data.replace(b"[1000, 30]", b"[1000, 31]")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (cut_off, "it is truncated: 0.0 MB of 0.1 MB"),
        (cut_in_the_header, "it is truncated"),
        (emptied, "it is empty"),
        (overlong, "it is longer than its header says"),
        (of_another_format, "it is not a safetensors file"),
        (with_garbage_in_the_header, "its header cannot be read"),
        (with_a_wrong_shape, "its header cannot be read"),
    ],
)
def test_damaged_weights_are_found_by_their_header(
    hollow: Make, damage: Callable[[bytes], bytes], complaint: str
) -> None:
    folder = hollow()
    file = folder / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    message = refused(ModelLoadError, ModelRef(str(folder)))
    assert message == f"{folder} is damaged: model.safetensors: {complaint}; download it again"


def shards(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    write_weights(folder / "model-00001-of-00002.safetensors", {"a": (10, 10)})
    write_weights(folder / "model-00002-of-00002.safetensors", {"b": (5,)})
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_weights_in_several_files_are_counted_together(hollow: Make) -> None:
    folder = hollow()
    shards(folder)
    assert resolve(ModelRef(str(folder)), silent).parameters == 105


def test_a_shard_that_is_missing_is_named(hollow: Make) -> None:
    folder = hollow()
    shards(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert refused(ModelLoadError, ModelRef(str(folder))) == (
        f"{folder} is not complete: 1 of 2 weight files are missing (model-00002-of-00002.safetensors); "
        "download it again"
    )


@pytest.mark.parametrize("index", ["{}", "[]", "{", '{"weight_map": {"a": "../../etc/passwd"}}', '{"weight_map": {}}'])
def test_an_index_that_is_none_is_refused(hollow: Make, index: str) -> None:
    folder = hollow()
    (folder / "model.safetensors.index.json").write_text(index)
    assert "is not an index of weights" in refused(ModelLoadError, ModelRef(str(folder)))


def test_a_folder_without_weights_is_enough_where_only_the_processor_is_needed(hollow: Make) -> None:
    folder = hollow()
    (folder / "model.safetensors").unlink()
    found = resolve(ModelRef(str(folder), weights=False), silent)
    assert found == CheckpointSource(str(folder), folder, "native", "recogniser", 0, 0, frozenset())
    assert "has no weights" in refused(ModelLoadError, ModelRef(str(folder)))
    (folder / "tokenizer_config.json").unlink()
    assert "has no tokenizer_config.json" in refused(ModelLoadError, ModelRef(str(folder), weights=False))
