from __future__ import annotations

from pathlib import Path

import pytest

from steno.archive.archive_folder import ArchiveFolder
from steno.archive.file_checksum import record_of
from steno.archive.manifest import StageResult
from steno.archive.raw_files import RawFiles
from steno.archive.verification import Discrepancy, verify_recording


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"sound")
    return path


@pytest.fixture
def archive(tmp_path: Path) -> ArchiveFolder:
    return ArchiveFolder.create(tmp_path / "archive")


async def test_a_changed_a_missing_and_a_strange_file_are_reported(archive: ArchiveFolder, raw: Path) -> None:
    talk = archive.add(str(raw))[0].id
    await RawFiles(archive).copy(talk)
    copy = archive.path_of(talk, (await RawFiles(archive).refresh(talk)).raw)  # type: ignore[arg-type]
    assert copy.read_bytes() == b"sound"
    assert list(verify_recording(archive, talk)) == []
    copy.write_bytes(b"noise")
    (archive.folder_of(talk) / "notes.txt").touch()
    assert list(verify_recording(archive, talk)) == [
        Discrepancy(talk, copy.name, "differs"),
        Discrepancy(talk, "notes.txt", "not in the manifest"),
    ]
    copy.unlink()
    assert next(verify_recording(archive, talk)) == Discrepancy(talk, copy.name, "missing")


async def test_a_raw_file_that_has_changed_is_noticed_and_its_earlier_checksum_kept(
    archive: ArchiveFolder, raw: Path
) -> None:
    talk = archive.add(str(raw))[0].id
    before = (await RawFiles(archive).refresh(talk)).raw
    assert await RawFiles(archive).refresh(talk) == archive.manifest(talk)
    raw.write_bytes(b"other sound")
    assert list(verify_recording(archive, talk)) == [Discrepancy(talk, str(raw), "differs")]
    after = await RawFiles(archive).refresh(talk)
    assert after.raw != before
    assert after.earlier_raw == (before,)
    assert list(verify_recording(archive, talk)) == []


async def test_a_second_copy_does_not_replace_the_first(archive: ArchiveFolder, raw: Path) -> None:
    talk = archive.add(str(raw))[0].id
    await RawFiles(archive).copy(talk)
    raw.write_bytes(b"other sound")
    await RawFiles(archive).copy(talk)
    copies = sorted(path.read_bytes() for path in archive.folder_of(talk).glob("raw-*.wav"))
    assert copies == [b"other sound", b"sound"]
    assert list(verify_recording(archive, talk)) == []


def test_an_invalid_manifest_is_reported(archive: ArchiveFolder, raw: Path) -> None:
    talk = archive.add(str(raw))[0].id
    (archive.folder_of(talk) / "manifest.json").write_text("{}")
    assert list(verify_recording(archive, talk)) == [Discrepancy(talk, "manifest.json", "invalid manifest")]


async def test_another_chat_log_replaces_a_copied_one(archive: ArchiveFolder, raw: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("[0:01] kim: hi\n")
    second.write_text("[0:01] ada: hello\n")
    talk = archive.add(str(raw), str(first))[0].id
    await RawFiles(archive).copy(talk)
    copied = archive.manifest(talk)
    archive.add(str(raw), str(second))
    changed = await RawFiles(archive).refresh(talk)
    assert changed.chat_raw is not None
    assert (changed.raw, changed.chat_raw.path) == (copied.raw, str(second))
    assert changed.earlier_raw == (copied.chat_raw,)
    assert list(verify_recording(archive, talk)) == []


def test_a_result_that_was_made_again_is_compared_with_its_last_checksum(archive: ArchiveFolder, raw: Path) -> None:
    talk = archive.add(str(raw))[0].id
    path = archive.folder_of(talk) / "words-0123456789abcdef.json"
    for content in ("lost", "made again"):
        path.write_text(content)
        made = StageResult(
            stage="words",
            key="0123456789abcdef",
            stage_version=1,
            inputs={},
            options={},
            files=(record_of(path, path.name),),
            steno="0.1.0",
        )
        archive.update(talk, lambda now, made=made: now.model_copy(update={"results": (*now.results, made)}))  # type: ignore[misc]
    assert list(verify_recording(archive, talk)) == []
    path.write_text("other")
    assert list(verify_recording(archive, talk)) == [Discrepancy(talk, path.name, "differs")]
