"""Exports of an archive, read by the tools that they are for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import warnings
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import srt

from command_line import run_command
from steno.archive.archive_folder import ArchiveFolder
from steno.archive.archive_review import ArchiveReview
from steno.archive.manifest import SegmentReview
from steno.archive.stage_files import TimedTranscript, load
from steno.audio.decode import decode
from steno.errors import UnknownRecordingError
from steno.types import SAMPLE_RATE, Segment

TEXT = "Please send this letter to my sister before the end of the month."


@pytest.fixture(scope="module")
def archive(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> ArchiveFolder:
    """Two recordings, recognised by the embedded recogniser, and one that is only added."""
    folder = tmp_path_factory.mktemp("exports") / "archive"
    for words in (("add", fixtures / "letter.flac", fixtures / "weather.flac"), ("run",)):
        assert steno(folder, *words).returncode == 0
    assert steno(folder, "add", fixtures / "train.flac").returncode == 0
    return ArchiveFolder.open(folder)


def steno(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return run_command("archive", *words, "-a", folder, environment=dict(os.environ))


def exported(archive: ArchiveFolder, form: str, output: Path, *words: str) -> subprocess.CompletedProcess[str]:
    ended = steno(archive.path, "export", "-f", form, "-o", output, *words)
    assert ended.returncode == 1, "one recording has no transcript"
    assert "steno: train-" in ended.stderr
    assert "no transcript" in ended.stderr
    return ended


def segments(archive: ArchiveFolder) -> list[tuple[str, Segment]]:
    found = [(each, archive.result_file(archive.manifest(each), "words")) for each in archive.ids()]
    return [(name, segment) for name, path in found if path for segment in load(TimedTranscript, path).segments]


def test_lhotse_reads_recordings_and_supervisions_with_word_alignments(archive: ArchiveFolder, tmp_path: Path) -> None:
    exported(archive, "lhotse", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lhotse import CutSet, RecordingSet, SupervisionSet
        from lhotse.qa import validate_recordings_and_supervisions

        recordings = RecordingSet.from_file(tmp_path / "recordings.jsonl.gz")
        supervisions = SupervisionSet.from_file(tmp_path / "supervisions.jsonl.gz")
        validate_recordings_and_supervisions(recordings, supervisions, read_data=True)
        cuts = CutSet.from_manifests(recordings=recordings, supervisions=supervisions).trim_to_supervisions()
        audio = {cut.supervisions[0].text: cut.load_audio() for cut in cuts}
    known = segments(archive)
    assert [(s.recording_id, s.text) for s in supervisions] == [(name, segment.text) for name, segment in known]
    for supervision, (_, segment) in zip(supervisions, known, strict=True):
        assert (supervision.start, supervision.end) == pytest.approx((segment.start_s, segment.end_s), abs=1e-3)
        words = supervision.alignment["word"]
        assert [word.symbol for word in words] == segment.text.split() == [word.text for word in segment.words]
        assert [word.start for word in words] == pytest.approx([w.start_s for w in segment.words], abs=1e-3)
        assert [word.score for word in words] == pytest.approx([w.confidence for w in segment.words], abs=1e-3)
        assert audio[segment.text].shape[1] == pytest.approx((segment.end_s - segment.start_s) * SAMPLE_RATE, abs=16)
    assert TEXT in audio


def test_the_same_archive_gives_the_same_bytes(archive: ArchiveFolder, tmp_path: Path) -> None:
    for form in ("lhotse", "nemo", "hf", "srt"):
        for name in ("once", "again"):
            exported(archive, form, tmp_path / form / name)
        once, again = (
            {path.name: path.read_bytes() for path in (tmp_path / form / name).rglob("*") if path.is_file()}
            for name in ("once", "again")
        )
        assert once == again != {}


def test_a_nemo_manifest_has_a_line_for_each_segment(archive: ArchiveFolder, tmp_path: Path) -> None:
    exported(archive, "nemo", tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [line["text"] for line in lines] == [segment.text for _, segment in segments(archive)]
    letter = next(line for line in lines if line["text"] == TEXT)
    assert Path(letter["audio_filepath"]).read_bytes()[:4] == b"fLaC"
    assert 0.0 <= letter["offset"] < 0.5
    assert 2.5 < letter["duration"] < 3.7
    assert letter["lang"] == "en"


def test_a_smaller_parquet_export_leaves_no_file_of_a_larger_one(archive: ArchiveFolder, tmp_path: Path) -> None:
    stale, other = tmp_path / "data" / "train-00007.parquet", tmp_path / "data" / "test-00007.parquet"
    stale.parent.mkdir()
    stale.touch()
    other.touch()
    exported(archive, "hf", tmp_path)
    assert sorted(path.name for path in stale.parent.iterdir()) == ["test-00007.parquet", "train-00000.parquet"]


def test_parquet_has_the_sound_of_each_segment(archive: ArchiveFolder, tmp_path: Path) -> None:
    exported(archive, "hf", tmp_path)
    table = pq.read_table(tmp_path / "data" / "train-00000.parquet")
    rows = table.to_pylist()
    assert [row["text"] for row in rows] == [segment.text for _, segment in segments(archive)]
    for row, (_, segment) in zip(rows, segments(archive), strict=True):
        samples = sum(len(chunk) for chunk in decode(BytesIO(row["audio"]["bytes"]), max_seconds=None))
        assert samples == pytest.approx((segment.end_s - segment.start_s) * SAMPLE_RATE, abs=1)
        assert [word["text"] for word in row["words"]] == [word.text for word in segment.words]
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["audio"] == {"sampling_rate": SAMPLE_RATE, "_type": "Audio"}
    assert features.keys() == set(table.column_names)


def test_subtitles_are_made_for_each_recording(archive: ArchiveFolder, tmp_path: Path) -> None:
    exported(archive, "srt", tmp_path, "--max-line-chars", "20")
    files = sorted(path.name for path in tmp_path.iterdir())
    assert [name[:3] for name in files] == ["let", "wea"]
    cues = list(srt.parse((tmp_path / files[0]).read_text()))
    assert " ".join(cue.content.replace("\n", " ") for cue in cues) == TEXT
    assert max(len(line) for cue in cues for line in cue.content.splitlines()) <= 20


def test_rejected_and_unsure_segments_are_left_out(archive: ArchiveFolder, tmp_path: Path) -> None:
    unsure = exported(archive, "nemo", tmp_path, "--min-confidence", "1")
    assert (tmp_path / "manifest.jsonl").read_text() == ""
    assert "left out: 0 rejected, 2 unsure" in unsure.stderr
    letter, segment = segments(archive)[0]
    review = SegmentReview(start_s=segment.start_s, end_s=segment.end_s, verdict="rejected", by="kim")
    archive.update(letter, lambda now: now.model_copy(update={"reviews": (review,)}))
    try:
        rejected = exported(archive, "nemo", tmp_path)
    finally:
        archive.update(letter, lambda now: now.model_copy(update={"reviews": ()}))
    assert "left out: 1 rejected, 0 unsure" in rejected.stderr
    assert TEXT not in (tmp_path / "manifest.jsonl").read_text()


def test_new_audio_is_not_exported_with_the_earlier_transcript(fixtures: Path, tmp_path: Path) -> None:
    folder, raw = tmp_path / "archive", tmp_path / "talk.flac"
    shutil.copy(fixtures / "letter.flac", raw)
    environment = {**os.environ, "ASR_BACKEND": "scripted"}
    for words in (("add", raw), ("run",)):
        assert run_command("archive", *words, "-a", folder, environment=environment).returncode == 0
    shutil.copy(fixtures / "weather.flac", raw)
    assert run_command("archive", "run", "--only", "audio", "-a", folder, environment=environment).returncode == 0

    ended = steno(folder, "export", "-f", "nemo", "-o", tmp_path / "out")
    assert (ended.returncode, "no transcript" in ended.stderr) == (1, True)
    assert (tmp_path / "out" / "manifest.jsonl").read_text() == ""
    status = json.loads(steno(folder, "status", "--json").stdout)
    assert (status["words"], status["done"]["audio"], status["done"]["words"]) == (0, 1, 0)
    archive = ArchiveFolder.open(folder)
    assert ArchiveReview(archive).manifests() == []
    with pytest.raises(UnknownRecordingError, match="no transcript yet"):
        ArchiveReview(archive).recording(archive.ids()[0])
