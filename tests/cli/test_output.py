from __future__ import annotations

import stat
from pathlib import Path

import pytest

from steno.cli.output import Output, write_whole


def test_a_file_is_named_after_its_input(tmp_path: Path) -> None:
    Output(None, tmp_path / "new" / "folder", ".txt", several=True).write(Path("/some/where/talk.mp4"), "hello")
    assert (tmp_path / "new" / "folder" / "talk.txt").read_text() == "hello\n"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(target, "new \ud800")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "x")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644


def test_several_results_on_the_terminal_say_whose_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Output(None, None, ".txt", several=True).write(Path("a.mp3"), "hello")
    Output(None, None, ".txt", several=False).write(Path("b.mp3"), "bye")
    assert capsys.readouterr().out == "a.mp3:\nhello\n\nbye\n"
