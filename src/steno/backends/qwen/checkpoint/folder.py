"""What a folder holds: a Qwen3-ASR recogniser or forced aligner, in which layout, and whether all of it is there.

There are two layouts. Qwen's own repositories keep everything under `thinker_config`; transformers' native ones do
not, and reading the former as the latter yields a model of default size without a word. So it is told apart here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from steno.backends.qwen.checkpoint import weights
from steno.backends.qwen.checkpoint.weights import WeightFiles
from steno.errors import ModelLoadError, SettingsError

Layout = Literal["native", "original"]
Kind = Literal["recogniser", "aligner"]

MODEL_TYPES = ("qwen3_asr", "qwen3_forced_aligner")
ALIGNER_CLASS = "Qwen3ASRForTokenClassification"
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""Either of these sets of files is a tokenizer."""


@dataclass(frozen=True, slots=True)
class FolderContents:
    """Of a checkpoint's folder."""

    layout: Layout
    kind: Kind
    weights: WeightFiles


def examine(folder: Path, model_id: str, param: str) -> FolderContents:
    """Look into `folder`; configuration and weight headers are read, no tensor is.

    Args:
        param: the setting that named it, for errors: `MODEL_ID` or `FORCED_ALIGNER_ID`.

    Raises:
        SettingsError: it holds something else than Qwen3-ASR.
        ModelLoadError: files are missing, cut off or damaged; says which.
    """
    config = read_json(folder, "config.json", model_id)
    layout, kind = _what_it_is(config, model_id, param)
    if config.get("quantization_config"):
        raise SettingsError(
            f"{param}: {model_id} is quantised already; give a checkpoint in bfloat16 and set QUANTIZE", param=param
        )
    found = weights.examine(folder, model_id)
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZERS):
        raise ModelLoadError(f"{model_id} has no tokenizer: neither tokenizer.json nor vocab.json and merges.txt")
    if not (folder / "tokenizer_config.json").is_file():
        raise ModelLoadError(f"{model_id} has no tokenizer_config.json")
    if layout == "native" and not (folder / "processor_config.json").is_file():
        raise ModelLoadError(f"{model_id} has no processor_config.json")
    return FolderContents(layout, kind, found)


def read_json(folder: Path, name: str, model_id: str) -> dict[str, Any]:
    """The JSON object in the file `name`.

    Raises:
        ModelLoadError: it is not there, or is none.
    """
    try:
        value = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelLoadError(f"{model_id} has no {name}: that is not a model's folder") from None
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{model_id} is damaged: {name} cannot be read ({error})") from None
    if not isinstance(value, dict):
        raise ModelLoadError(f"{model_id} is damaged: {name} holds no JSON object")
    return value


def _what_it_is(config: dict[str, Any], model_id: str, param: str) -> tuple[Layout, Kind]:
    model_type = config.get("model_type")
    if model_type not in MODEL_TYPES:
        what = f"a {model_type} checkpoint" if isinstance(model_type, str) else "a checkpoint of unknown type"
        raise SettingsError(f"{param}: {model_id} is {what}, not Qwen3-ASR", param=param)
    thinker = config.get("thinker_config")
    if isinstance(thinker, dict):
        return "original", "aligner" if "classify_num" in thinker else "recogniser"
    if not isinstance(config.get("audio_config"), dict) or not isinstance(config.get("text_config"), dict):
        raise ModelLoadError(
            f"{model_id} is damaged: config.json has neither thinker_config nor audio_config and text_config"
        )
    architectures = config.get("architectures") or []
    return "native", "aligner" if ALIGNER_CLASS in architectures else "recogniser"
