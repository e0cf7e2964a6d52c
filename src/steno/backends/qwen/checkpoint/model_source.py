"""Resolves `MODEL_ID` and `FORCED_ALIGNER_ID`: a local folder, or a model on the Hugging Face hub.

Light to import: neither torch nor transformers. A cached hub model is used without contacting the hub: a server that
unloads when idle must not need the network to load again. `refresh` looks for a newer version.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from loguru import logger

from steno.backends.base import Progress
from steno.backends.qwen.checkpoint import folder as folders
from steno.backends.qwen.checkpoint.folder import Kind, Layout
from steno.errors import ModelLoadError, SettingsError

SMALL_MODEL, LARGE_MODEL = "Qwen/Qwen3-ASR-0.6B", "Qwen/Qwen3-ASR-1.7B"
DEFAULT_MODEL = SMALL_MODEL
DEFAULT_ALLOWLIST = ("Qwen/*",)
KNOWN_MODELS = (SMALL_MODEL, LARGE_MODEL, "Qwen/Qwen3-ForcedAligner-0.6B")

PARAMS: dict[Kind, str] = {"recogniser": "MODEL_ID", "aligner": "FORCED_ALIGNER_ID"}
_QWEN3_NAME = re.compile(r"qwen3-(asr|forcedaligner)", re.IGNORECASE)
_HUB_ID = re.compile(r"(?!.*(--|\.\.|\.git$))\w([\w.-]*\w)?/\w([\w.-]{0,94}\w)?", re.ASCII)
"""The form that huggingface_hub accepts (`validate_repo_id`)."""


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A reference to a checkpoint: which model, and what is allowed."""

    model_id: str
    revision: str | None = None
    """Branch, tag or commit of the hub's repository; None = its main branch."""
    allowlist: tuple[str, ...] = DEFAULT_ALLOWLIST
    """Patterns of allowed hub ids. Local folders are always allowed."""
    hf_home: Path | None = None
    """None = huggingface_hub reads the environment."""
    kind: Kind | None = "recogniser"
    """What the checkpoint must be; None = either."""
    weights: bool = True
    """Whether the weights are needed; False = configuration and processor are enough."""

    @property
    def param(self) -> str:
        """The setting that names the model."""
        return PARAMS[self.kind or "recogniser"]


@dataclass(frozen=True, slots=True)
class CheckpointSource:
    """A local checkpoint, complete as far as its headers show. Without weights their sizes are 0."""

    model_id: str
    folder: Path
    layout: Layout
    kind: Kind
    parameters: int
    size_bytes: int
    """Size of the weight files on disk."""
    dtypes: frozenset[str]
    """Dtypes of the weights on disk, by safetensors' names."""


def resolve(ref: ModelRef, progress: Progress, *, refresh: bool = False) -> CheckpointSource:
    """Find the checkpoint, download what is missing, and check it.

    Args:
        progress: called during a download; an exception from it ends the download.
        refresh: look on the hub for a newer version of the revision.

    Raises:
        SettingsError: no such folder or repository, a model that is not allowed, or one of the wrong kind.
        ModelLoadError: the download failed or the checkpoint is damaged; says what to do.
    """
    folder = Path(ref.model_id).expanduser()
    if folder.is_dir():
        return _checked(ref, folder)
    if not is_hub_id(ref.model_id):
        raise SettingsError(
            f"{ref.param}: there is no folder {ref.model_id}, and it is not a hub id like {DEFAULT_MODEL}",
            param=ref.param,
        )
    check_allowed(ref)
    return _from_hub(ref, progress, refresh)


def is_hub_id(model_id: str) -> bool:
    """Whether `model_id` has the form of a name on the hub: `organisation/name`."""
    return _HUB_ID.fullmatch(model_id) is not None


def check_allowed(ref: ModelRef) -> None:
    """Raises SettingsError where the allow-list has no pattern for the hub id."""
    if any(fnmatchcase(ref.model_id, pattern) for pattern in ref.allowlist):
        return
    raise SettingsError(
        f"{ref.param}: {ref.model_id} is not in MODEL_ALLOWLIST ({', '.join(ref.allowlist) or 'empty'}); "
        "add it there, or give a local folder",
        param=ref.param,
    )


def cache_folder(hf_home: Path | None) -> Path | None:
    """The cache folder for hub models; None = huggingface_hub's default."""
    if hf_home is None or os.environ.get("HF_HUB_CACHE"):
        return None
    return hf_home.expanduser() / "hub"


def cached_models(hf_home: Path | None) -> list[str]:
    """The hub ids of the Qwen3-ASR models in the cache, by the names of their folders."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface"))
    cache = cache_folder(hf_home) or Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    names = (folder.parts[-4] for folder in cache.expanduser().glob("models--*/snapshots/*/config.json"))
    return sorted({name.removeprefix("models--").replace("--", "/", 1) for name in names if _QWEN3_NAME.search(name)})


def _from_hub(ref: ModelRef, progress: Progress, refresh: bool) -> CheckpointSource:
    from steno.backends.qwen.checkpoint.hub import Hub

    hub = Hub(ref.model_id, ref.revision, cache_folder(ref.hf_home), ref.param, weights=ref.weights)
    cached = hub.cached()
    if cached is not None and (hub.offline or not refresh):
        try:
            return _checked(ref, cached)
        except ModelLoadError as error:
            if hub.offline:
                raise ModelLoadError(f"{error.message}; HF_HUB_OFFLINE is set: unset it") from None
            logger.warning("the cached copy of {} is not usable: {}", ref.model_id, error.message)
    return _checked(ref, hub.download(progress))


def _checked(ref: ModelRef, folder: Path) -> CheckpointSource:
    contents = folders.examine(folder, ref.model_id, ref.param, needs_weights=ref.weights)
    if ref.kind is not None and contents.kind != ref.kind:
        raise SettingsError(_wrong_kind(ref, contents.kind), param=ref.param)
    logger.debug("{} found in {}: {}, {} layout", ref.model_id, folder, contents.kind, contents.layout)
    found = contents.weights
    return CheckpointSource(
        ref.model_id,
        folder,
        contents.layout,
        contents.kind,
        found.parameters,
        found.size_bytes,
        found.dtypes,
    )


def _wrong_kind(ref: ModelRef, found: Kind) -> str:
    what = {"recogniser": "a recogniser", "aligner": "a forced aligner"}
    return f"{ref.param}: {ref.model_id} is {what[found]}; set {PARAMS[found]} to it instead"
