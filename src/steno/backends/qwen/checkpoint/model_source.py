"""What `MODEL_ID` and `FORCED_ALIGNER_ID` mean: a local folder, or a model on the Hugging Face hub.

Light to import: neither torch nor transformers. A hub model that is in the cache is used as it is, without asking
the hub: a server that unloads when idle must not need the network to load again. `refresh` asks for what is new.
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
_LIKE_QWEN = re.compile(r"qwen3-(asr|forcedaligner)", re.IGNORECASE)
_HUB_ID = re.compile(r"(?!.*(--|\.\.|\.git$))\w([\w.-]*\w)?/\w([\w.-]{0,94}\w)?", re.ASCII)
"""As huggingface_hub checks it (`validate_repo_id`)."""


@dataclass(frozen=True, slots=True)
class ModelRef:
    """The model that is asked for."""

    model_id: str
    revision: str | None = None
    """A branch, tag or commit of the hub's repository; None = its main branch."""
    allowlist: tuple[str, ...] = DEFAULT_ALLOWLIST
    """Patterns of hub ids. Local folders are not held against it."""
    hf_home: Path | None = None
    """None = what huggingface_hub finds in the environment."""
    kind: Kind | None = "recogniser"
    """What it must be; None = either."""

    @property
    def param(self) -> str:
        """The setting that named it."""
        return PARAMS[self.kind or "recogniser"]


@dataclass(frozen=True, slots=True)
class CheckpointSource:
    """A checkpoint that is on this machine, complete as far as its headers tell."""

    model_id: str
    folder: Path
    layout: Layout
    kind: Kind
    parameters: int
    size_bytes: int
    """Of the weight files on disk."""
    dtypes: frozenset[str]
    """Of the weights on disk, by safetensors' names."""


def resolve(wanted: ModelRef, progress: Progress, *, refresh: bool = False) -> CheckpointSource:
    """Find the model, downloading what is not here, and check it.

    Args:
        progress: told of a download; whatever it raises ends the download.
        refresh: ask the hub for a newer state of the revision.

    Raises:
        SettingsError: no such folder or repository, one that may not be loaded, or something else than what is wanted.
        ModelLoadError: it could not be downloaded, or is damaged; says what to do.
    """
    folder = Path(wanted.model_id).expanduser()
    if folder.is_dir():
        return _checked(wanted, folder)
    if not is_hub_id(wanted.model_id):
        raise SettingsError(
            f"{wanted.param}: there is no folder {wanted.model_id}, and it is not a hub id like {DEFAULT_MODEL}",
            param=wanted.param,
        )
    check_allowed(wanted)
    return _from_hub(wanted, progress, refresh)


def is_hub_id(model_id: str) -> bool:
    """Whether `model_id` has the form of a name on the hub: `organisation/name`."""
    return _HUB_ID.fullmatch(model_id) is not None


def check_allowed(wanted: ModelRef) -> None:
    """Raises SettingsError where the allow-list has no pattern for the hub id."""
    if any(fnmatchcase(wanted.model_id, pattern) for pattern in wanted.allowlist):
        return
    raise SettingsError(
        f"{wanted.param}: {wanted.model_id} is not in MODEL_ALLOWLIST ({', '.join(wanted.allowlist) or 'empty'}); "
        "add it there, or give a local folder",
        param=wanted.param,
    )


def cache_folder(hf_home: Path | None) -> Path | None:
    """Where hub models are kept; None = where huggingface_hub keeps them by itself."""
    if hf_home is None or os.environ.get("HF_HUB_CACHE"):
        return None
    return hf_home.expanduser() / "hub"


def kept(hf_home: Path | None) -> list[str]:
    """The hub ids of the Qwen3-ASR models in the cache, by the names of their folders."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface"))
    cache = cache_folder(hf_home) or Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    names = (folder.parts[-4] for folder in cache.expanduser().glob("models--*/snapshots/*/config.json"))
    return sorted({name.removeprefix("models--").replace("--", "/", 1) for name in names if _LIKE_QWEN.search(name)})


def _from_hub(wanted: ModelRef, progress: Progress, refresh: bool) -> CheckpointSource:
    from steno.backends.qwen.checkpoint.hub import Hub

    hub = Hub(wanted.model_id, wanted.revision, cache_folder(wanted.hf_home), wanted.param)
    kept = hub.cached()
    if kept is not None and (hub.offline or not refresh):
        try:
            return _checked(wanted, kept)
        except ModelLoadError as error:
            if hub.offline:
                raise ModelLoadError(f"{error.message}; HF_HUB_OFFLINE is set: unset it") from None
            logger.warning("the copy of {} in the cache is not used: {}", wanted.model_id, error.message)
    return _checked(wanted, hub.download(progress))


def _checked(wanted: ModelRef, folder: Path) -> CheckpointSource:
    contents = folders.examine(folder, wanted.model_id, wanted.param)
    if wanted.kind is not None and contents.kind != wanted.kind:
        raise SettingsError(_wrong_kind(wanted, contents.kind), param=wanted.param)
    logger.debug("{} lies in {}: {}, {} layout", wanted.model_id, folder, contents.kind, contents.layout)
    found = contents.weights
    return CheckpointSource(
        wanted.model_id,
        folder,
        contents.layout,
        contents.kind,
        found.parameters,
        found.size_bytes,
        found.dtypes,
    )


def _wrong_kind(wanted: ModelRef, found: Kind) -> str:
    what = {"recogniser": "a recogniser", "aligner": "a forced aligner"}
    return f"{wanted.param}: {wanted.model_id} is {what[found]}; that belongs into {PARAMS[found]}"
