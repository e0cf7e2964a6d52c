"""An archive on disk: its options, and its recordings' manifests."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steno.archive.manifest import FileRecord, RecordingManifest, StageName
from steno.errors import ArchiveError, ManifestError
from steno.whole_file import write_whole

SETTINGS_FILE, RECORDINGS, MANIFEST, WORK = "archive.json", "recordings", "manifest.json", "work"
LOCK = "lock"
MAX_SLUG = 60


class ArchiveOptions(BaseModel):
    """What transcripts depend on besides the model. Options of a run become the archive's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: str | None = None
    track: str | None = None
    diarize: bool = False
    """Whether the speakers are told apart."""
    num_speakers: int | None = Field(None, ge=1, le=20)
    """How many each recording has; None = unknown."""


class ArchiveFile(BaseModel):
    """The content of `archive.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    options: ArchiveOptions = ArchiveOptions()


class ArchiveFolder:
    """An archive. Made by `create` or `open`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> ArchiveFolder:
        """Open an archive, and make it first if the folder is new or empty.

        Raises:
            ArchiveError: the folder has other things in it.
        """
        if not (path / SETTINGS_FILE).exists():
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise ArchiveError(f"{path} is neither an archive nor an empty folder")
            (path / RECORDINGS).mkdir(parents=True, exist_ok=True)
            write_whole(path / SETTINGS_FILE, _text_of(ArchiveFile()), lasting=True)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> ArchiveFolder:
        """Raises ArchiveError: there is none, or of another version."""
        folder = cls(path)
        folder.options()
        return folder

    def options(self) -> ArchiveOptions:
        try:
            return ArchiveFile.model_validate_json((self.path / SETTINGS_FILE).read_bytes()).options
        except FileNotFoundError:
            raise ArchiveError(f"{self.path} is not an archive: it has no {SETTINGS_FILE}") from None
        except ValidationError as error:
            raise ArchiveError(f"{self.path / SETTINGS_FILE} is invalid: {_first(error)}") from None

    def set_options(self, options: ArchiveOptions) -> None:
        write_whole(self.path / SETTINGS_FILE, _text_of(ArchiveFile(options=options)), lasting=True)

    def ids(self) -> list[str]:
        """The recordings, sorted."""
        return sorted(path.parent.name for path in (self.path / RECORDINGS).glob(f"*/{MANIFEST}"))

    def folder_of(self, recording: str) -> Path:
        return self.path / RECORDINGS / recording

    def work_of(self, recording: str) -> Path:
        """Folder of what may be deleted."""
        return self.folder_of(recording) / WORK

    def manifest(self, recording: str) -> RecordingManifest:
        """Raises ManifestError: it is missing or invalid."""
        path = self.folder_of(recording) / MANIFEST
        try:
            return RecordingManifest.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ManifestError(f"{path} is invalid: {_first(error)}") from None
        except OSError as error:
            raise ManifestError(f"{path}: {error.strerror or error}") from None

    def update(self, recording: str, change: Callable[[RecordingManifest], RecordingManifest]) -> RecordingManifest:
        """Replace the manifest by `change` of it. Other processes' updates are kept.

        Raises:
            ManifestError: the manifest is missing or invalid, or would be.
        """
        with self._locked(self.work_of(recording) / LOCK):
            return self._save(change(self.manifest(recording)))

    def add(self, source: str, chat: str | None = None) -> tuple[RecordingManifest, bool]:
        """Add a recording, or find the one that was added from the same source. Returns whether it is new."""
        recording = recording_id(source)
        with self._locked(self.work_of(recording) / LOCK):
            if (self.folder_of(recording) / MANIFEST).exists():
                known = self.manifest(recording)
                same = chat is None or known.chat_source == chat
                return (known if same else self._save(_with_chat(known, chat))), False
            return self._save(RecordingManifest(id=recording, source=source, chat_source=chat)), True

    def path_of(self, recording: str, file: FileRecord) -> Path:
        return self.folder_of(recording) / file.path

    def transcript_file(self, manifest: RecordingManifest) -> Path | None:
        """The transcript in use; None if there is none."""
        result = manifest.transcript
        return self.path_of(manifest.id, result.files[0]) if result is not None else None

    def result_file(self, manifest: RecordingManifest, stage: StageName) -> Path | None:
        """The (first) file of the stage's result that is in use."""
        result = manifest.result(stage)
        return self.path_of(manifest.id, result.files[0]) if result is not None else None

    def clean(self, recording: str) -> None:
        """Delete the temporary files of a run that was killed. Only for who holds `exclusive`."""
        with self._locked(self.work_of(recording) / LOCK):
            for folder in (self.folder_of(recording), self.work_of(recording)):
                for path in folder.glob(".*"):
                    path.unlink()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Held by a run. Raises ArchiveError: another process holds it."""
        with (self.path / LOCK).open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArchiveError(f"another run uses {self.path}; wait for its end") from None
            yield

    def _save(self, manifest: RecordingManifest) -> RecordingManifest:
        text = _text_of(manifest)
        try:
            RecordingManifest.model_validate_json(text)  # `model_copy` does not validate
        except ValidationError as error:
            raise ManifestError(f"{manifest.id} was not changed: {_first(error)}") from None
        write_whole(self.folder_of(manifest.id) / MANIFEST, text, lasting=True)
        return manifest

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def recording_id(source: str) -> str:
    """`talk-3f2a9c1b` for `/recordings/talk.mp4`: readable, and another one for each path or URL."""
    stem = re.sub(r"\.[^./]{1,5}$", "", source.split("?")[0].rstrip("/").rsplit("/", 1)[-1])
    slug = re.sub(r"[^\w-]+", "-", stem).strip("-_")[:MAX_SLUG] or "recording"
    return f"{slug}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"


def schema_text() -> str:
    """The JSON schema of manifests: `manifest.schema.json`."""
    return json.dumps(RecordingManifest.model_json_schema(), indent=2, sort_keys=True) + "\n"


def _with_chat(manifest: RecordingManifest, source: str | None) -> RecordingManifest:
    """The manifest with another chat log, which was not read yet."""
    old, earlier = manifest.chat_raw, manifest.earlier_raw
    if old is not None and old not in earlier:
        earlier = (*earlier, old)
    return manifest.model_copy(update={"chat_source": source, "chat_raw": None, "earlier_raw": earlier})


def _text_of(model: BaseModel) -> str:
    return model.model_dump_json(indent=1, exclude_defaults=False) + "\n"


def _first(error: ValidationError) -> str:
    details = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in details["loc"])
    return f"{where}: {details['msg']}" if where else details["msg"]
