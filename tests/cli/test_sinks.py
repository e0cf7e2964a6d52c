from __future__ import annotations

import os
import stat
from pathlib import Path

import click
import pytest

from steno.cli.inputs import recordings_of
from steno.cli.sinks import RECORD, FileSink, FolderSink, TerminalSink


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_named_after_its_recording(tmp_path: Path) -> None:
    FolderSink(tmp_path / "new" / "folder").write("talk", ".fr.srt", "x", "hello\n\n")
    assert (tmp_path / "new" / "folder" / "talk.fr.srt").read_text() == "hello\n"


def test_what_is_done_is_known_in_the_next_run_but_not_under_other_wishes(tmp_path: Path) -> None:
    FolderSink(tmp_path).write("talk", ".srt", "content and options", "hello")
    later = FolderSink(tmp_path)
    assert later.has("talk", ".srt", "content and options")
    assert not later.has("talk", ".srt", "other content")
    assert not later.has("talk", ".vtt", "content and options")
    again = FolderSink(tmp_path, again=True)
    assert not again.has("talk", ".srt", "content and options")
    again.write("walk", ".srt", "other", "x")
    assert FolderSink(tmp_path).has("talk", ".srt", "content and options")
    (tmp_path / "talk.srt").unlink()
    assert not FolderSink(tmp_path).has("talk", ".srt", "content and options")


@pytest.mark.parametrize("record", ["", "[1]", "{", '{"talk.srt": 5}'])
def test_a_damaged_record_only_means_that_work_is_done_again(tmp_path: Path, record: str) -> None:
    (tmp_path / RECORD).write_text(record)
    (tmp_path / "talk.srt").write_text("x")
    assert not FolderSink(tmp_path).has("talk", ".srt", "x")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_who_may_read_a_result_is_the_user_s_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        FileSink(tmp_path / "a.txt").write("whatever", ".txt", "", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode


def test_several_results_on_the_terminal_say_whose_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    TerminalSink(headings=True).write("a", ".srt", "", "hello\n")
    TerminalSink(headings=False).write("b", ".txt", "", "bye")
    assert capsys.readouterr().out == "==> a.srt <==\nhello\n\nbye\n"


# Inputs


def test_patterns_are_expanded_and_equal_stems_keep_their_endings(tmp_path: Path) -> None:
    for name in ("talk.mp3", "talk.mp4", "walk.mp3"):
        (tmp_path / name).touch()
    with recordings_of([str(tmp_path / "*.mp?")]) as recordings:
        assert [recording.name for recording in recordings] == ["talk.mp3", "talk.mp4", "walk"]


def test_a_name_with_magic_characters_that_exists_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "what[1].wav").touch()
    with recordings_of([str(tmp_path / "what[1].wav")]) as recordings:
        assert [recording.name for recording in recordings] == ["what[1]"]


def test_files_whose_results_would_overwrite_each_other_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "talk.mp4").touch()
    with pytest.raises(click.UsageError, match=r"several files are called talk\.mp4"):
        recordings_of([str(tmp_path / "*" / "talk.mp4")]).__enter__()


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="no file matches"):
        recordings_of([str(tmp_path / "*.wav")]).__enter__()
