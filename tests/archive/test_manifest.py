from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from steno.archive.archive_folder import ArchiveFolder, ArchiveOptions, recording_id
from steno.archive.manifest import (
    ChatClock,
    ClockAnchor,
    ClockSegment,
    FileRecord,
    ModelIdentity,
    RecordingManifest,
    SegmentReview,
    StageResult,
)
from steno.errors import ArchiveError, ManifestError

DOCS = Path(__file__).parent.parent.parent / "docs"
SUM = "0" * 64
CLOCK = ChatClock(
    segments=(ClockSegment(start_s=0.0, offset_s=-34.0), ClockSegment(start_s=100.0, offset_s=-4.0, drift_ppm=100.0)),
    confidence=0.9,
    method="anchors",
    anchors=(ClockAnchor(chat_s=50.0, recording_s=16.0, by="kim"),),
    confirmed_by="kim",
)
RESULT = StageResult(
    stage="transcript",
    key="0123456789abcdef",
    stage_version=1,
    inputs={"audio": SUM},
    options={"language": None},
    model=ModelIdentity(backend="scripted", id="scripted"),
    files=(FileRecord(path="transcript-0123456789abcdef.json", sha256=SUM, bytes=3),),
    steno="0.1.0",
)
MANIFEST = RecordingManifest(
    id="talk-1", source="/talk.mp4", current={"transcript": RESULT.key}, results=(RESULT,), clocks=(CLOCK,)
)


def shipped_schema() -> dict[str, Any]:
    generated = runpy.run_path(str(DOCS / "generate.py"))["MANIFEST_SCHEMA"]
    schema: dict[str, Any] = json.loads(generated.read_text())
    return schema


def test_the_shipped_schema_is_that_of_the_manifest() -> None:
    assert shipped_schema() == RecordingManifest.model_json_schema()


def test_a_manifest_is_read_as_it_was_written_and_fits_the_schema(tmp_path: Path) -> None:
    archive = ArchiveFolder.create(tmp_path / "archive")
    known, is_new = archive.add("/talk.mp4")
    archive.update(known.id, lambda _: MANIFEST.model_copy(update={"id": known.id}))
    read = archive.manifest(known.id)
    assert (read, is_new) == (MANIFEST.model_copy(update={"id": known.id}), True)
    assert read.result("transcript") == RESULT
    assert read.clock == CLOCK
    jsonschema.validate(json.loads((archive.folder_of(known.id) / "manifest.json").read_text()), shipped_schema())


def test_a_change_that_would_make_a_manifest_invalid_is_refused(tmp_path: Path) -> None:
    archive = ArchiveFolder.create(tmp_path / "archive")
    known = archive.add("/talk.mp4")[0]
    broken = ChatClock(method="anchors").model_copy(
        update={"segments": (ClockSegment(start_s=0.0, offset_s=0.0).model_copy(update={"offset_s": float("inf")}),)}
    )
    with pytest.raises(ManifestError, match=r"was not changed: clocks\.0\.segments\.0\.offset_s"):
        archive.update(known.id, lambda now: now.model_copy(update={"clocks": (broken,)}))
    assert archive.manifest(known.id) == known


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"version": 2}, "version"),
        ({"duration": 3}, "duration"),
        ({"results": [{**RESULT.model_dump(mode="json"), "key": "latest"}]}, "results.0.key"),
        ({"raw": {"path": "a.wav", "sha256": "abc", "bytes": 1}}, "raw.sha256"),
        ({"clocks": [{"method": "anchors", "confidence": 1.5}]}, "clocks.0.confidence"),
        ({"current": {"stage": "0123456789abcdef"}}, "current.stage"),
    ],
)
def test_a_broken_manifest_is_refused_by_steno_and_by_the_schema(
    tmp_path: Path, change: dict[str, Any], where: str
) -> None:
    archive = ArchiveFolder.create(tmp_path / "archive")
    recording = archive.add("/talk.mp4")[0].id
    broken = {**MANIFEST.model_dump(mode="json"), **change}
    (archive.folder_of(recording) / "manifest.json").write_text(json.dumps(broken))
    with pytest.raises(ManifestError, match=f"manifest.json is invalid: {where}"):
        archive.manifest(recording)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, shipped_schema())


def test_a_recording_is_added_once_and_its_chat_may_come_later(tmp_path: Path) -> None:
    archive = ArchiveFolder.create(tmp_path / "archive")
    first, _ = archive.add("https://example.org/vods/talk%201.mp4?sig=x")
    again, is_new = archive.add("https://example.org/vods/talk%201.mp4?sig=x", "/chat.json")
    assert (again.id, is_new, again.chat_source) == (first.id, False, "/chat.json")
    assert archive.add("/other/talk.mp4")[0].id != archive.add("/talk.mp4")[0].id
    assert len(archive.ids()) == 3


@pytest.mark.parametrize("source", ["/a/talk.mp4", "https://h/talk.mp4?x=/../y", "/a/..", "/ä/Gespräch 1.flac", "///"])
def test_an_id_is_one_folder_s_name(source: str) -> None:
    assert "/" not in recording_id(source)
    assert not recording_id(source).startswith(".")


def test_only_an_archive_is_opened_and_only_an_empty_folder_becomes_one(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="is not an archive"):
        ArchiveFolder.open(tmp_path)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ArchiveError, match="neither an archive nor an empty folder"):
        ArchiveFolder.create(tmp_path)
    archive = ArchiveFolder.create(tmp_path / "new")
    archive.set_options(ArchiveOptions(language="de"))
    assert ArchiveFolder.create(tmp_path / "new").options() == ArchiveOptions(language="de")
    (tmp_path / "new" / "archive.json").write_text('{"version": 2}')
    with pytest.raises(ArchiveError, match="version"):
        ArchiveFolder.open(tmp_path / "new")


def test_one_run_at_a_time_uses_an_archive(tmp_path: Path) -> None:
    archive = ArchiveFolder.create(tmp_path / "archive")
    with archive.exclusive(), pytest.raises(ArchiveError, match="another run"), archive.exclusive():
        pass
    with archive.exclusive():
        pass


def test_a_message_is_placed_by_the_segment_that_has_begun() -> None:
    assert CLOCK.recording_s(50.0) == 16.0
    assert CLOCK.recording_s(-1.0) == -35.0
    assert CLOCK.recording_s(1100.0) == pytest.approx(1096.1)
    assert ChatClock(method="cross_correlation", problem="no clear peak").recording_s(50.0) is None


@pytest.mark.parametrize(
    ("segment", "verdict"),
    [
        ((0.0, 4.0), "rejected"),
        ((0.0, 2.0), "rejected"),
        ((2.0, 4.0), "rejected"),
        ((0.0, 8.0), "rejected"),
        ((3.9, 6.0), None),
        ((10.0, 14.0), "accepted"),
        ((12.0, 14.0), "accepted"),
        ((10.0, 15.0), None),
        ((5.0, 5.4), "accepted"),
    ],
)
def test_a_verdict_holds_for_the_parts_that_speakers_make_of_a_segment(
    segment: tuple[float, float], verdict: str | None
) -> None:
    reviews = [(0.0, 4.0, "rejected"), (5.0, 5.4, "accepted"), (10.0, 14.0, "accepted")]
    manifest = RecordingManifest(
        id="talk-1",
        source="/talk.mp4",
        reviews=tuple(SegmentReview(start_s=start, end_s=end, verdict=said) for start, end, said in reviews),
    )
    assert manifest.verdict_on(*segment) == verdict
