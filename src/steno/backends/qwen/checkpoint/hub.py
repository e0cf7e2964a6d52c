"""Models from the Hugging Face hub, in the cache that all of its tools share; its errors in our words.

Files are fetched by `partial`, which goes on after an interruption even in another process: huggingface_hub 2 throws
away what it has of a file. The cache's links are then made by huggingface_hub itself.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from steno.backends.base import Progress
from steno.backends.qwen.checkpoint.download import DownloadUrl, fetch
from steno.backends.qwen.checkpoint.hub_errors import explained
from steno.backends.qwen.checkpoint.weights import gigabytes
from steno.errors import BackendUnavailableError, ModelLoadError

try:
    import huggingface_hub as hub
    from huggingface_hub import constants
    from huggingface_hub.utils import WeakFileLock, build_hf_headers
except ModuleNotFoundError:
    raise BackendUnavailableError(
        "models from the hub need huggingface_hub: pip install 'steno[qwen]', or give a local folder"
    ) from None

FILES = (
    "config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json",
    "chat_template.jinja", "chat_template.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    "model.safetensors", "model-*.safetensors", "model.safetensors.index.json",
)  # fmt: skip
"""What a model needs of its repository."""

STEP = 0.002
"""Of progress."""

DISK_MARGIN = 200_000_000
"""Bytes that a download leaves free."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of the repository, as the hub lists it."""

    name: str
    size: int
    sha256: str | None
    """Of large files only; small ones are known by their git id."""


class Hub:
    """One model at one revision.

    Args:
        cache: the folder of the cache; None = huggingface_hub's own.
        param: the setting that named the model, for errors.
    """

    def __init__(self, model_id: str, revision: str | None, cache: Path | None, param: str) -> None:
        self.model_id = model_id
        self.revision = revision
        self.cache = cache or Path(constants.HF_HUB_CACHE)
        self._param = param
        self._repository = self.cache / f"models--{model_id.replace('/', '--')}"

    @property
    def offline(self) -> bool:
        """Whether HF_HUB_OFFLINE is set."""
        return bool(constants.HF_HUB_OFFLINE)

    def cached(self) -> Path | None:
        """The folder of the model in the cache, complete or not; the network is not used."""
        found = hub.try_to_load_from_cache(self.model_id, "config.json", cache_dir=self.cache, revision=self.revision)
        return Path(found).parent if isinstance(found, str) else None

    def download(self, progress: Progress) -> Path:
        """Fetch what is not in the cache yet, or is damaged there. Returns the folder.

        Raises:
            SettingsError: there is no such model or revision.
            ModelLoadError: the hub cannot be reached or refuses, or there is no room.
        """
        if self.offline:
            raise ModelLoadError(
                f"{self.model_id} is not in the cache ({self.cache}) and HF_HUB_OFFLINE is set: "
                "unset it, or copy the model there"
            )
        with self._errors():
            commit, files = self._list()
            wanting = [file for file in files if not self._is_whole(commit, file)]
            self._make_room(wanting)
            self._fetch_all(commit, wanting, progress)
            folder = hub.snapshot_download(
                self.model_id,
                revision=self.revision,
                cache_dir=self.cache,
                allow_patterns=list(FILES),
                tqdm_class=_silent_bar(),
            )
        return Path(folder)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            told = explained(error, self.model_id, self.revision, self._param)
            if told is None:
                raise
            raise told from error

    def _list(self) -> tuple[str, list[HubFile]]:
        """The commit that the revision is, and its files that a model needs."""
        info = hub.HfApi().model_info(self.model_id, revision=self.revision, files_metadata=True)
        files = [
            HubFile(one.rfilename, one.size or 0, one.lfs.sha256 if one.lfs else None)
            for one in info.siblings or ()
            if any(fnmatchcase(one.rfilename, pattern) for pattern in FILES)
        ]
        return str(info.sha), files

    def _is_whole(self, commit: str, file: HubFile) -> bool:
        """Whether the cache has the file. One that is damaged is thrown out."""
        link = self._repository / "snapshots" / commit / file.name
        if not link.is_file():
            return False
        if link.stat().st_size == file.size and (file.sha256 is None or _sha256(link) == file.sha256):
            return True
        link.resolve().unlink(missing_ok=True)
        link.unlink(missing_ok=True)
        return False

    def _make_room(self, files: list[HubFile]) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        needed, free = sum(file.size for file in files), shutil.disk_usage(self.cache).free
        if files and needed + DISK_MARGIN > free:
            raise ModelLoadError(
                f"{self.model_id} needs {gigabytes(needed + DISK_MARGIN)} of disk in {self.cache}, "
                f"{gigabytes(free)} are free; set HF_HOME to a folder with more room"
            )

    def _fetch_all(self, commit: str, files: list[HubFile], progress: Progress) -> None:
        meter = _Meter(progress, sum(file.size for file in files))
        for file in sorted(files, key=lambda one: one.size):
            meter.begin(file)
            self._fetch(commit, file, meter.told)
            meter.end(file)

    def _fetch(self, commit: str, file: HubFile, told: Callable[[int], None]) -> None:
        """Into the cache's `blobs`, where huggingface_hub finds it under its ETag."""
        url = hub.hf_hub_url(self.model_id, file.name, revision=commit)
        etag = str(hub.get_hf_file_metadata(url).etag)
        blob = self._repository / "blobs" / etag
        lock = self.cache / ".locks" / self._repository.name / f"{etag}.lock"
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            if blob.is_file() and blob.stat().st_size == file.size:
                return
            part = blob.with_name(f"{etag}.incomplete")
            fetch(lambda: _place(url), part, file.size, told)
            if file.sha256 and _sha256(part) != file.sha256:
                part.unlink()
                raise ModelLoadError(f"{self.model_id}: {file.name} did not arrive as it was sent; try again")
            part.replace(blob)


class _Meter:
    """From the bytes of one file to the part of all; told in steps that are worth it."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = max(total, 1)
        self._before = 0
        self._last = -1.0
        self._doing = ""

    def begin(self, file: HubFile) -> None:
        self._doing = f"downloading {file.name}"
        self.told(0)

    def told(self, size: int) -> None:
        part = min(1.0, (self._before + size) / self._total)
        if abs(part - self._last) >= STEP or part in (0.0, 1.0):
            self._last = part
            self._progress(part, self._doing)

    def end(self, file: HubFile) -> None:
        self._before += file.size


def _place(url: str) -> DownloadUrl:
    """Where the file's bytes are now: large ones lie elsewhere, at an address that expires. The token stays home."""
    location = hub.get_hf_file_metadata(url).location
    headers = {name: str(value) for name, value in build_hf_headers().items()}
    if urlsplit(location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)
    return DownloadUrl(location, headers)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _silent_bar() -> type:
    from tqdm import tqdm

    class Silent(tqdm):
        """huggingface_hub writes nothing to the terminal."""

        def __init__(self, *args: Any, **settings: Any) -> None:
            settings.pop("name", None)
            super().__init__(*args, **{**settings, "disable": True})

    return Silent
