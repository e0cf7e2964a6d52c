"""Resolves `MODEL_ID` to files: those in moonshine-voice's wheel, or a folder of the same layout."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from steno.backends.moonshine.installed import DECODER, ENCODER, INSTALL, MODEL_ID, SUFFIXES, wheel_folder
from steno.errors import ModelLoadError, SettingsError

SHA256 = {
    "encoder_model.ort": "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    "decoder_model_merged.ort": "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
    "tokenizer.bin": "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
}
"""SHA-256 of the files in the wheel of moonshine-voice 0.1.0."""

_REINSTALL = "pip install --force-reinstall --no-deps moonshine-voice==0.1.0"

VOCABULARIES = ("tokenizer.bin", "tokenizer.json")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one model."""

    encoder: Path
    decoder: Path
    vocabulary: Path
    """`tokenizer.bin`, or `tokenizer.json` of Hugging Face's tokenizers."""


def find(model_id: str | None, wheel: Path | None = None) -> ModelFiles:
    """The files of `model_id`: None or `moonshine-tiny-en` for the wheel's, else a folder.

    Args:
        wheel: the wheel's folder of weights; None = the installed one.

    Raises:
        SettingsError: `model_id` is not a folder in Moonshine's layout; says what is missing.
        ModelLoadError: a file of the wheel is missing or damaged; says what to do.
    """
    if model_id is not None and model_id != MODEL_ID:
        return _in_folder(model_id)
    folder = wheel or wheel_folder()
    if folder is None:
        raise ModelLoadError(f"Moonshine's weights are not installed: {INSTALL}")
    for name, expected in SHA256.items():
        _check(folder / name, expected)
    return ModelFiles(*(folder / name for name in SHA256))


def _in_folder(model_id: str) -> ModelFiles:
    folder = Path(model_id)
    if not folder.is_dir():
        raise SettingsError(
            f"MODEL_ID={model_id!r} is neither {MODEL_ID!r} nor a folder, which the moonshine backend expects",
            param="MODEL_ID",
        )
    alternatives = [[f"{name}{suffix}" for suffix in SUFFIXES] for name in (ENCODER, DECODER)] + [list(VOCABULARIES)]
    found = [next((folder / name for name in names if (folder / name).is_file()), None) for names in alternatives]
    missing = [" or ".join(names) for names, file in zip(alternatives, found, strict=True) if file is None]
    if missing:
        raise SettingsError(
            f"MODEL_ID={model_id!r} does not have Moonshine's layout: it lacks {'; '.join(missing)}",
            param="MODEL_ID",
        )
    return ModelFiles(*(file for file in found if file is not None))


def _check(file: Path, expected: str) -> None:
    try:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ModelLoadError(f"{file.name} of Moonshine cannot be read ({error.strerror}): {_REINSTALL}") from error
    if digest != expected:
        raise ModelLoadError(
            f"{file.name} of Moonshine is damaged (its SHA-256 differs from the release's): {_REINSTALL}"
        )
