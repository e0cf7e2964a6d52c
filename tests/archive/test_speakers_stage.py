"""Speakers in an archive: a stage after the words, and its result in exports and review."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from command_line import run_command
from recordings import conversation, wav
from running import until
from speakers.speaker_graphs import CAMPPLUS, SEGMENTATION
from steno.archive.archive_folder import ArchiveFolder
from steno.archive.archive_review import ArchiveReview
from steno.archive.exports.exported_recording import ExportedRecording
from steno.archive.exports.srt_export import export_srt
from steno.archive.stage_files import TimedTranscript
from steno.archive.stages.speakers_stage import PieceVoices, speaker_model_identity
from steno.audio.decode import decode
from steno.captions.cues import CueStyle
from steno.speakers.diarizer import EmbeddedSpeech
from steno.types import SAMPLE_RATE, Segment

SCRIPTED = {**os.environ, "ASR_BACKEND": "scripted", "MODEL_ID": "scripted@1ms"}
SAYS = ("weather", "market", "doctor", "meeting")
"""A woman, a man, the woman, the man."""


@pytest.fixture(scope="module")
def archive(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> ArchiveFolder:
    folder = tmp_path_factory.mktemp("speakers")
    (folder / "call.wav").write_bytes(conversation(fixtures, *SAYS))
    found = folder / "archive"
    for words in (("add", folder / "call.wav"), ("run", "--diarize")):
        ended = run_command("archive", *words, "-a", found, environment=SCRIPTED)
        assert ended.returncode == 0, ended.stderr
    return ArchiveFolder.open(found)


def run(archive: ArchiveFolder, *words: str) -> list[str]:
    """The stages of which `archive run` made new results."""
    (recording,) = archive.ids()
    before = len(archive.manifest(recording).results)
    ended = run_command("archive", "run", *words, "-a", archive.path, environment=SCRIPTED)
    assert ended.returncode == 0, ended.stderr
    return [result.stage for result in archive.manifest(recording).results[before:]]


def speakers(archive: ArchiveFolder) -> list[str | None]:
    (recording,) = archive.ids()
    return [segment.speaker for segment in ArchiveReview(archive).recording(recording).segments]


def test_segments_have_speakers_also_in_exports(archive: ArchiveFolder, tmp_path: Path) -> None:
    assert speakers(archive) == ["A", "B", "A", "B"]
    (recording,) = archive.ids()
    for form in ("nemo", "srt"):
        words = ("export", "-f", form, "-o", tmp_path, "-a", archive.path)
        assert run_command("archive", *words, environment=SCRIPTED).returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [line["speaker"] for line in lines] == [f"{recording}-{name}" for name in "ABAB"]
    assert (tmp_path / f"{recording}.srt").read_text().startswith("1\n00:00:0")


def test_exported_subtitles_have_a_dash_for_each_speaker_of_a_shared_cue(
    archive: ArchiveFolder, tmp_path: Path
) -> None:
    manifest = archive.manifest(*archive.ids())
    said = (
        Segment(0, 0.0, 0.9, "Are you sure?", "en", speaker="A"),
        Segment(1, 1.0, 1.4, "Yes.", "en", speaker="B"),
    )
    transcript = TimedTranscript(text="Are you sure? Yes.", language="en", duration_s=20.0, segments=said)
    export_srt([ExportedRecording(manifest, tmp_path / "audio.flac", transcript)], tmp_path, CueStyle())
    assert "\n- Are you sure?\n- Yes.\n" in (tmp_path / f"{manifest.id}.srt").read_text()


def test_only_the_speakers_are_computed_again_when_their_options_change(archive: ArchiveFolder) -> None:
    assert run(archive) == []
    assert run(archive, "--num-speakers", "1") == ["speakers"]
    assert set(speakers(archive)) == {"A"}
    assert run(archive, "--num-speakers", "0") == [], "the first result is in use again"
    assert speakers(archive) == ["A", "B", "A", "B"]


def test_a_run_that_was_killed_embeds_no_piece_twice(fixtures: Path, tmp_path: Path) -> None:
    pause = np.zeros(3 * SAMPLE_RATE, np.float32)  # it begins a new piece
    said = [part for name in SAYS * 2 for part in (*decode(fixtures / f"{name}.flac", max_seconds=None), pause)]
    (tmp_path / "call.wav").write_bytes(wav(np.concatenate(said)))
    folder = tmp_path / "archive"
    assert run_command("archive", "add", tmp_path / "call.wav", "-a", folder, environment=SCRIPTED).returncode == 0
    command = [sys.executable, "-m", "steno", "archive", "run", "--diarize", "-q", "-a", folder]
    killed = subprocess.Popen(command, env=SCRIPTED)
    try:
        until(lambda: any(path.read_bytes().count(b"\n") >= 2 for path in folder.rglob("speakers-*.journal")))
    finally:
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait(10)
    found = ArchiveFolder.open(folder)
    assert run(found) == ["speakers"]
    assert speakers(found) == ["A", "B"] * 4
    status = json.loads(run_command("archive", "status", "--json", "-a", folder, environment=SCRIPTED).stdout)
    assert status["computed_pieces"]["speakers"] == 8
    assert not [*folder.rglob("speakers-*.journal")]


def test_the_journal_keeps_embeddings_exactly() -> None:
    rng = np.random.default_rng(0)
    for windows in (0, 3):
        extents, embeddings = rng.random((windows, 2)), rng.random((windows, 8)).astype(np.float16)
        speech = EmbeddedSpeech([(0.1, 2.3)], [(0.7, 1.1)], extents, embeddings)
        kept = PieceVoices.model_validate_json(PieceVoices.of(speech).model_dump_json()).speech(8)
        assert (kept.regions, kept.overlaps) == (((0.1, 2.3),), ((0.7, 1.1),))
        assert np.array_equal(kept.extents, extents)
        assert np.array_equal(kept.embeddings, embeddings)


def test_without_diarize_the_words_are_the_transcript_again(archive: ArchiveFolder) -> None:
    assert run(archive, "--no-diarize") == []
    assert set(speakers(archive)) == {None}
    assert run(archive, "--diarize") == []
    assert speakers(archive) == ["A", "B", "A", "B"]


def test_a_number_of_speakers_needs_speakers(archive: ArchiveFolder) -> None:
    assert run(archive, "--no-diarize") == []
    for words in (("--num-speakers", "2"), ("--only", "speakers")):
        ended = run_command("archive", "run", *words, "-a", archive.path, environment=SCRIPTED)
        assert ended.returncode == 2
        assert "need --diarize" in ended.stderr
    assert archive.options().num_speakers is None


def test_another_network_of_the_same_name_gives_another_key(archive: ArchiveFolder, tmp_path: Path) -> None:
    network = tmp_path / "voices.onnx"
    keys = []
    for model in (CAMPPLUS.read_bytes(), SEGMENTATION.read_bytes()):
        network.write_bytes(model)
        keys.append(speaker_model_identity(str(network)))
    assert {key.id for key in keys} == {"voices.onnx"}
    assert len({key.revision for key in keys}) == 2
