"""Whether Moonshine's weights are installed, and which `MODEL_ID`s are Moonshine's. Imports and loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

MODEL_ID = "moonshine-tiny-en"
WHEEL = "moonshine-voice"
VERSION = "0.1.0"
"""The last version whose wheels hold the weights; later ones download them."""
INSTALL = "pip install 'steno[moonshine]'"

ENCODER, DECODER = "encoder_model", "decoder_model_merged"
SUFFIXES = (".ort", ".onnx")


def missing(model_id: str | None = None, *, path: Sequence[str] | None = None) -> str | None:
    """What the backend is missing and how to install it, as a phrase that follows its name; None = nothing.

    Args:
        path: folders in which the wheel is searched; None = `sys.path`.
    """
    if model_id is not None and is_folder_of_moonshine(model_id):
        return None
    found = find_wheel(path)
    if found is None:
        return f"needs {WHEEL}=={VERSION}, which has wheels for Linux (glibc 2.34), macOS 15 and Windows: {INSTALL}"
    if _folder_in(found) is None:
        return f"needs {WHEEL}=={VERSION}; {found.version} does not contain the weights: {INSTALL}"
    return None


def not_for_auto(model_id: str | None) -> str | None:
    """Why `auto` does not choose this backend although it could run; None = `auto` may choose it."""
    if model_id is None or serves(model_id):
        return None
    return f"does not serve MODEL_ID={model_id}"


def serves(model_id: str) -> bool:
    """Whether `MODEL_ID` names the model in the wheel, or a folder of Moonshine's layout."""
    return model_id == MODEL_ID or is_folder_of_moonshine(model_id)


def is_folder_of_moonshine(model_id: str) -> bool:
    """Whether `model_id` is a folder that holds an encoder and a decoder of Moonshine's."""
    folder = Path(model_id)
    return all(any((folder / f"{name}{suffix}").is_file() for suffix in SUFFIXES) for name in (ENCODER, DECODER))


def wheel_folder(path: Sequence[str] | None = None) -> Path | None:
    """The folder of the weights in the installed wheel; None if it is not installed."""
    found = find_wheel(path)
    return _folder_in(found) if found is not None else None


def find_wheel(path: Sequence[str] | None) -> Distribution | None:
    found = distributions(name=WHEEL) if path is None else distributions(name=WHEEL, path=list(path))
    return next(iter(found), None)


def _folder_in(wheel: Distribution) -> Path | None:
    folder = Path(str(wheel.locate_file("moonshine_voice/assets/tiny-en")))
    return folder if folder.is_dir() else None
