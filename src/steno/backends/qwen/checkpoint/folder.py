"""Checks a checkpoint folder: Qwen3-ASR recogniser or forced aligner, which layout, and whether it is complete.

There are two layouts. Qwen's own repositories keep their configuration under `thinker_config`; transformers' native
ones do not. Reading the former as the latter silently yields a model of default size, so the layout is detected here.
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
"""Sets of files; each set is a complete tokenizer."""


@dataclass(frozen=True, slots=True)
class FolderContents:
    """What a checkpoint folder contains."""

    layout: Layout
    kind: Kind
    weights: WeightFiles


def examine(folder: Path, model_id: str, param: str, *, needs_weights: bool = True) -> FolderContents:
    """Check `folder`. Configuration and weight headers are read, tensors are not.

    Args:
        param: the setting that named it, for errors: `MODEL_ID` or `FORCED_ALIGNER_ID`.
        needs_weights: False = weights are neither read nor checked.

    Raises:
        SettingsError: the folder holds another model than Qwen3-ASR.
        ModelLoadError: files are missing, truncated or damaged; names them.
    """
    config = read_json(folder, "config.json", model_id)
    layout, kind = _detect(config, model_id, param)
    if needs_weights and config.get("quantization_config"):
        raise SettingsError(
            f"{param}: {model_id} is quantised, which is not supported; use a bfloat16 checkpoint and set QUANTIZE",
            param=param,
        )
    found = weights.examine(folder, model_id) if needs_weights else weights.NONE
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
        ModelLoadError: the file is missing, or is not a JSON object.
    """
    try:
        value = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelLoadError(f"{model_id} has no {name}: it is not a model folder") from None
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{model_id} is damaged: {name} cannot be read ({error})") from None
    if not isinstance(value, dict):
        raise ModelLoadError(f"{model_id} is damaged: {name} is not a JSON object")
    return value


def _detect(config: dict[str, Any], model_id: str, param: str) -> tuple[Layout, Kind]:
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
