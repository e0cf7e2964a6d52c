"""Downloads models from the Hugging Face hub into the cache that all hub tools share.

What huggingface_hub (read: 2.4) lacks is done here; it then links the files into the snapshot itself.
- Resume across calls and processes (`download`): it deletes the partial file when a call fails.
- Verification: it compares sizes only; here large files are checked by SHA-256, in the cache too.
- Disk space for all files is checked before the first is fetched: it checks file by file, and only logs a warning.
- Progress over all files, and an exception from the progress callback ends the download.
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
from steno.backends.qwen.checkpoint.hub_errors import translate
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

PROCESSOR_FILES = (
    "config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json",
    "chat_template.jinja", "chat_template.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt",
)  # fmt: skip
"""Files that prompts, features and the parsing of the output need."""
WEIGHT_FILES = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")

PROGRESS_STEP = 0.002
"""Smallest change of progress that is reported."""

DISK_MARGIN = 200_000_000
"""Free disk space that a download must leave, in bytes."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of the repository, as listed by the hub."""

    name: str
    size: int
    sha256: str | None
    """None for small files, which the hub identifies by git id only."""


class Hub:
    """One model at one revision.

    Args:
        cache: the cache folder; None = huggingface_hub's default.
        param: the setting that names the model, for errors.
        weights: whether the weights are needed too.
    """

    def __init__(
        self, model_id: str, revision: str | None, cache: Path | None, param: str, *, weights: bool = True
    ) -> None:
        self.model_id = model_id
        self.revision = revision
        self.cache = cache or Path(constants.HF_HUB_CACHE)
        self._param = param
        self._patterns = (*PROCESSOR_FILES, *WEIGHT_FILES) if weights else PROCESSOR_FILES
        self._repository = self.cache / f"models--{model_id.replace('/', '--')}"

    @property
    def offline(self) -> bool:
        """Whether HF_HUB_OFFLINE is set."""
        return bool(constants.HF_HUB_OFFLINE)

    def cached(self) -> Path | None:
        """The model's folder in the cache, complete or not. Does not use the network."""
        found = hub.try_to_load_from_cache(self.model_id, "config.json", cache_dir=self.cache, revision=self.revision)
        return Path(found).parent if isinstance(found, str) else None

    def download(self, progress: Progress) -> Path:
        """Fetch files that are missing or damaged in the cache. Returns the model's folder.

        Raises:
            SettingsError: there is no such model or revision.
            ModelLoadError: the hub is unreachable or refuses access, or the disk is too full.
        """
        if self.offline:
            raise ModelLoadError(
                f"{self.model_id} is not in the cache ({self.cache}) and HF_HUB_OFFLINE is set: "
                "unset it, or copy the model there"
            )
        with self._errors():
            commit, files = self._list()
            missing = [file for file in files if not self._is_whole(commit, file)]
            self._check_disk(missing)
            self._fetch_all(commit, missing, progress)
            folder = hub.snapshot_download(
                self.model_id,
                revision=self.revision,
                cache_dir=self.cache,
                allow_patterns=list(self._patterns),
                tqdm_class=_silent_tqdm(),
            )
        return Path(folder)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            translated = translate(error, self.model_id, self.revision, self._param)
            if translated is None:
                raise
            raise translated from error

    def _list(self) -> tuple[str, list[HubFile]]:
        """The revision's commit, and those of its files that a model needs."""
        info = hub.HfApi().model_info(self.model_id, revision=self.revision, files_metadata=True)
        files = [
            HubFile(one.rfilename, one.size or 0, one.lfs.sha256 if one.lfs else None)
            for one in info.siblings or ()
            if any(fnmatchcase(one.rfilename, pattern) for pattern in self._patterns)
        ]
        return str(info.sha), files

    def _is_whole(self, commit: str, file: HubFile) -> bool:
        """Whether the cache has the file, undamaged. A damaged one is deleted."""
        link = self._repository / "snapshots" / commit / file.name
        if not link.is_file():
            return False
        if link.stat().st_size == file.size and (file.sha256 is None or _sha256(link) == file.sha256):
            return True
        link.resolve().unlink(missing_ok=True)
        link.unlink(missing_ok=True)
        return False

    def _check_disk(self, files: list[HubFile]) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        needed, free = sum(file.size for file in files), shutil.disk_usage(self.cache).free
        if files and needed + DISK_MARGIN > free:
            raise ModelLoadError(
                f"{self.model_id} needs {gigabytes(needed + DISK_MARGIN)} of disk in {self.cache}; "
                f"{gigabytes(free)} are free; set HF_HOME to a folder with more space"
            )

    def _fetch_all(self, commit: str, files: list[HubFile], progress: Progress) -> None:
        meter = _ProgressMeter(progress, sum(file.size for file in files))
        for file in sorted(files, key=lambda one: one.size):
            meter.start(file)
            self._fetch(commit, file, meter.update)
            meter.finish(file)

    def _fetch(self, commit: str, file: HubFile, on_progress: Callable[[int], None]) -> None:
        """Download into the cache's `blobs`, where huggingface_hub finds the file by its ETag."""
        url = hub.hf_hub_url(self.model_id, file.name, revision=commit)
        etag = str(hub.get_hf_file_metadata(url).etag)
        blob = self._repository / "blobs" / etag
        lock = self.cache / ".locks" / self._repository.name / f"{etag}.lock"
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            if blob.is_file() and blob.stat().st_size == file.size:
                return
            partial = blob.with_name(f"{etag}.incomplete")
            fetch(lambda: _download_url(url), partial, file.size, on_progress)
            if file.sha256 and _sha256(partial) != file.sha256:
                partial.unlink()
                raise ModelLoadError(
                    f"{self.model_id}: {file.name} was damaged in transit (SHA-256 mismatch); try again"
                )
            partial.replace(blob)


class _ProgressMeter:
    """Converts bytes of one file into progress over all files, and reports changes of at least `PROGRESS_STEP`."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = max(total, 1)
        self._finished_bytes = 0
        self._reported = -1.0
        self._activity = ""

    def start(self, file: HubFile) -> None:
        self._activity = f"downloading {file.name}"
        self.update(0)

    def update(self, size: int) -> None:
        fraction = min(1.0, (self._finished_bytes + size) / self._total)
        if abs(fraction - self._reported) >= PROGRESS_STEP or fraction in (0.0, 1.0):
            self._reported = fraction
            self._progress(fraction, self._activity)

    def finish(self, file: HubFile) -> None:
        self._finished_bytes += file.size


def _download_url(url: str) -> DownloadUrl:
    """The current download URL. Large files are served by another host under a URL that expires; it gets no token."""
    location = hub.get_hf_file_metadata(url).location
    headers = {name: str(value) for name, value in build_hf_headers().items()}
    if urlsplit(location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)
    return DownloadUrl(location, headers)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _silent_tqdm() -> type:
    from tqdm import tqdm

    class Silent(tqdm):
        """Keeps huggingface_hub from writing to the terminal."""

        def __init__(self, *args: Any, **settings: Any) -> None:
            settings.pop("name", None)
            super().__init__(*args, **{**settings, "disable": True})

    return Silent
