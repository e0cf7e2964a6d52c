"""Which files `MODEL_ID` means, and what is said of those that are missing, damaged or another model's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from steno.backends.moonshine import files, installed
from steno.backends.moonshine.model import MoonshineModel, warm_up
from steno.backends.moonshine.vocabulary import Vocabulary
from steno.errors import ModelLoadError, SettingsError


def distribution(root: Path, version: str, *, with_weights: bool) -> list[str]:
    """A folder of installed packages that holds moonshine-voice in `version`."""
    metadata = root / f"moonshine_voice-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: moonshine-voice\nVersion: {version}\n", encoding="utf-8")
    if with_weights:
        (root / "moonshine_voice" / "assets" / "tiny-en").mkdir(parents=True)
    return [str(root)]


def test_without_the_wheel_it_says_what_to_install(tmp_path: Path) -> None:
    lacking = installed.missing(path=[str(tmp_path)])
    assert lacking == (
        "needs moonshine-voice==0.1.0, which has wheels for Linux (glibc 2.34), macOS 15 and Windows: "
        "pip install 'steno[moonshine]'"
    )


def test_a_wheel_of_a_later_version_has_no_weights_and_is_named(tmp_path: Path) -> None:
    lacking = installed.missing(path=distribution(tmp_path, "0.1.5", with_weights=False))
    assert lacking is not None
    assert "0.1.5 does not contain the weights" in lacking


def test_a_wheel_with_its_weights_is_complete(tmp_path: Path) -> None:
    path = distribution(tmp_path, "0.1.0", with_weights=True)
    assert installed.missing(path=path) is None
    assert installed.wheel_folder(path) == tmp_path / "moonshine_voice" / "assets" / "tiny-en"


def test_the_installed_wheel_is_whole(wheel: Path) -> None:
    found = files.find(None)
    assert found == files.find("moonshine-tiny-en") == files.find(None, wheel)
    assert found.encoder.name == "encoder_model.ort"


@pytest.mark.parametrize("name", sorted(files.SHA256))
def test_a_damaged_file_of_the_wheel_is_named_with_what_to_do(wheel: Path, tmp_path: Path, name: str) -> None:
    for other in files.SHA256:
        (tmp_path / other).symlink_to(wheel / other)
    (tmp_path / name).unlink()
    content = bytearray((wheel / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelLoadError, match=f"^{name} of Moonshine is damaged .*pip install --force-reinstall"):
        files.find(None, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ModelLoadError, match=f"^{name} of Moonshine cannot be read .*pip install --force-reinstall"):
        files.find(None, tmp_path)


def test_a_folder_of_the_same_layout_is_used_and_its_weights_may_be_others(tmp_path: Path) -> None:
    for name in ("encoder_model.onnx", "decoder_model_merged.onnx", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"anything")
    found = files.find(str(tmp_path))
    assert [file.name for file in (found.encoder, found.decoder, found.vocabulary)] == [
        "encoder_model.onnx",
        "decoder_model_merged.onnx",
        "tokenizer.json",
    ]
    assert installed.serves(str(tmp_path))
    assert installed.missing(str(tmp_path), path=[]) is None, "a folder needs no wheel"


def test_a_folder_of_another_layout_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    assert not installed.serves(str(tmp_path))
    with pytest.raises(SettingsError) as refused:
        files.find(str(tmp_path))
    assert refused.value.param == "MODEL_ID"
    assert refused.value.message.endswith(
        "does not have Moonshine's layout: it lacks encoder_model.ort or encoder_model.onnx; "
        "decoder_model_merged.ort or decoder_model_merged.onnx; tokenizer.bin or tokenizer.json"
    )
    with pytest.raises(SettingsError, match="neither 'moonshine-tiny-en' nor a folder"):
        files.find("Qwen/Qwen3-ASR-0.6B")


def test_files_that_are_no_models_are_named(wheel: Path, tmp_path: Path) -> None:
    for name in files.SHA256:
        (tmp_path / name).symlink_to(wheel / name)
    (tmp_path / "encoder_model.ort").unlink()
    (tmp_path / "encoder_model.ort").write_bytes(b"not a model")
    with pytest.raises(ModelLoadError, match=r"^encoder_model.ort cannot be loaded by ONNX Runtime"):
        MoonshineModel(files.find(str(tmp_path)))
    (tmp_path / "encoder_model.ort").unlink()
    (tmp_path / "encoder_model.ort").symlink_to(wheel / "encoder_model.ort")
    (tmp_path / "decoder_model_merged.ort").unlink()
    shutil.copy(wheel / "encoder_model.ort", tmp_path / "decoder_model_merged.ort")
    with pytest.raises(ModelLoadError, match=r"^decoder_model_merged.ort is not Moonshine's merged decoder"):
        MoonshineModel(files.find(str(tmp_path)))


def test_a_model_is_run_once_before_it_is_used(model: MoonshineModel, vocabulary: Vocabulary) -> None:
    warm_up(model, vocabulary)


def test_a_vocabulary_of_another_model_is_found_out_at_the_start(model: MoonshineModel) -> None:
    with pytest.raises(ModelLoadError, match="the decoder has 32768 tokens, but the tokenizer has 100"):
        warm_up(model, Vocabulary([b" a"] * 100))
