"""Speakers in an archive: a stage after the words, and its result in exports and review."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from command_line import run_command
from recordings import conversation
from speakers.speaker_graphs import CAMPPLUS, SEGMENTATION
from steno.archive.archive_folder import ArchiveFolder
from steno.archive.archive_review import ArchiveReview
from steno.archive.stages.speakers_stage import speaker_model_identity

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
    return [segment.speaker for segment in ArchiveReview(archive).recording(recording).transcript.segments]


def test_segments_have_speakers_also_in_exports(archive: ArchiveFolder, tmp_path: Path) -> None:
    assert speakers(archive) == ["A", "B", "A", "B"]
    (recording,) = archive.ids()
    for form in ("nemo", "srt"):
        words = ("export", "-f", form, "-o", tmp_path, "-a", archive.path)
        assert run_command("archive", *words, environment=SCRIPTED).returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [line["speaker"] for line in lines] == [f"{recording}-{name}" for name in "ABAB"]
    assert (tmp_path / f"{recording}.srt").read_text().startswith("1\n00:00:0")


def test_only_the_speakers_are_computed_again_when_their_options_change(archive: ArchiveFolder) -> None:
    assert run(archive) == []
    assert run(archive, "--num-speakers", "1") == ["speakers"]
    assert set(speakers(archive)) == {"A"}
    assert run(archive, "--num-speakers", "0") == [], "the first result is in use again"
    assert speakers(archive) == ["A", "B", "A", "B"]


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
