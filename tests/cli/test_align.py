"""`steno align` as a process: files, standard input, formats, a server, errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pylrc
import pysubs2
import pytest

from cli.test_commands import SCRIPTED
from running import EMBEDDED, PATIENCE_S, RunningServer
from speech import TRANSCRIPTS

SHEET = "[Verse]\nw1 w2 w3\n\nw5 w6 w7\nnot said here\n"


def align(*words: str | Path, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "steno", "align", *words],
        capture_output=True, text=True, timeout=PATIENCE_S, env={**SCRIPTED, **environment}, input=stdin,
    )  # fmt: skip


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    file = tmp_path / "lyrics.txt"
    file.write_text(SHEET, encoding="utf-8-sig")
    return file


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted", API_KEYS="k") as server:
        yield server


def test_lines_go_to_stdout_as_lrc_and_what_was_not_found_to_stderr(fixtures: Path, sheet: Path) -> None:
    ended = align(fixtures / "weather.flac", sheet)
    assert ended.returncode == 0
    assert [line.text for line in pylrc.parse(ended.stdout) if line.text] == ["w1 w2 w3", "w5 w6 w7"]
    assert "2 lines timed, 1 not found; times from recognized_words" in ended.stderr
    assert "not found: line 5: not said here" in ended.stderr
    assert "there is no aligner" in ended.stderr


def test_the_format_is_that_of_the_output_s_name(fixtures: Path, sheet: Path, tmp_path: Path) -> None:
    ended = align("-q", fixtures / "weather.flac", sheet, "-o", tmp_path / "out.ass")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert [event.plaintext for event in pysubs2.load(str(tmp_path / "out.ass"))] == ["w1 w2 w3", "w5 w6 w7"]
    align("-q", fixtures / "weather.flac", sheet, "-f", "json", "-o", tmp_path / "out.ass")
    assert json.loads((tmp_path / "out.ass").read_text())["lines"][2]["status"] == "not_found"


@pytest.mark.slow
def test_a_server_gives_the_same_result(server: RunningServer, fixtures: Path, sheet: Path) -> None:
    for form in ("elrc", "json"):
        here = align("-q", fixtures / "weather.flac", sheet, "-f", form)
        there = align("-q", fixtures / "weather.flac", sheet, "-f", form, "--url", server.url, "--api-key", "k")
        if form == "json":
            mine, theirs = ({**json.loads(ended.stdout), "timings": {}} for ended in (here, there))
            assert mine == theirs
        else:
            assert here.stdout == there.stdout != ""


def test_the_text_may_come_from_standard_input(fixtures: Path) -> None:
    assert "w5 w6 w7" in align(fixtures / "weather.flac", "-", stdin=SHEET).stdout


def test_real_speech_is_aligned(fixtures: Path, tmp_path: Path) -> None:
    text = tmp_path / "said.txt"
    text.write_text(TRANSCRIPTS["train.flac"].replace(", ", ",\n"))
    ended = align(fixtures / "train.flac", text, "-f", "json", "-q", ASR_BACKEND=EMBEDDED, ALIGNER="sphinx")
    answer = json.loads(ended.stdout)
    assert answer["method"] == "forced_alignment"
    assert [line["status"] for line in answer["lines"]] == ["found", "found"]
    assert answer["lines"][0]["start_s"] == pytest.approx(0.25, abs=0.1)


def test_errors_name_the_file_and_leave_no_output(fixtures: Path, sheet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.lrc"
    missing = align(tmp_path / "none.mp3", sheet, "-o", out)
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "none.mp3: No such file or directory" in missing.stderr
    no_text = align(fixtures / "weather.flac", tmp_path / "none.txt", "-o", out)
    assert no_text.returncode == 2
    assert "none.txt: No such file or directory" in no_text.stderr
    no_audio = align(sheet, sheet, "-o", out)
    assert no_audio.returncode == 1
    assert "not an audio file" in no_audio.stderr
    other = tmp_path / "other.txt"
    other.write_text("something else entirely")
    wrong = align(fixtures / "weather.flac", other, "-o", out)
    assert wrong.returncode == 1
    assert "the text does not match the audio" in wrong.stderr
    assert not out.exists()
    assert align(fixtures / "weather.flac", other, "--force", "-q").stdout.startswith("[00:")
    assert align("-", "-").returncode == 2
