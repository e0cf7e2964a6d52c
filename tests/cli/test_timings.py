"""`steno transcribe --timings` and `--profile`: the command as a process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from command_line import run_command
from running import EMBEDDED, RunningServer

SCRIPTED = {**os.environ, "ASR_BACKEND": "scripted", "MODEL_ID": "scripted@20ms"}


def transcribe(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_command("transcribe", *words, environment={**SCRIPTED, **environment})


def table_of(stderr: str) -> dict[str, dict[str, float]]:
    """The cells by row and column."""
    head, *rows = [line.split() for line in stderr.splitlines() if re.match(r"seconds |\S+( +\d+\.\d+){4}", line)]
    return {row[0]: {name: float(cell) for name, cell in zip(head[1:], row[1:], strict=True)} for row in rows}


def test_a_table_says_where_the_time_of_each_file_went_and_of_all(fixtures: Path, tmp_path: Path) -> None:
    files = [fixtures / "letter.flac", fixtures / "train.flac"]
    ended = transcribe(*files, "--timings", "-q", "-f", "srt", "-d", tmp_path)
    assert ended.returncode == 0, ended.stderr
    table = table_of(ended.stderr)
    assert list(table) == [*map(str, files), "all"] or list(table) == [*map(str, reversed(files)), "all"]
    every = table.pop("all")
    for name in set(every) - {"total", "factor"}:
        assert abs(every[name] - sum(row[name] for row in table.values())) <= 0.011
    for row in table.values():
        assert row["recognize"] > 0.02
        assert row["recognize"] <= row["total"] <= every["total"]
        assert abs(row["factor"] - row["total"] / row["audio"]) < 0.01
    assert "translate" not in every
    (peak,) = re.findall(r"^peak memory of the process: (\d+) MiB$", ended.stderr, re.MULTILINE)
    assert int(peak) > 30


def test_json_has_timings_if_asked_for_and_is_made_again_for_them(fixtures: Path, tmp_path: Path) -> None:
    words = (fixtures / "letter.flac", "-f", "json", "-d", tmp_path)
    assert transcribe(*words).returncode == 0
    assert "timings" not in json.loads((tmp_path / "letter.json").read_text())
    assert transcribe(*words, "--timings").returncode == 0
    timings = json.loads((tmp_path / "letter.json").read_text())["timings"]
    assert timings["recognize"] > 0
    assert timings["real_time_factor"] > 0
    assert timings["peak_memory_mb"] > 30


def test_with_a_server_the_stages_are_the_servers(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND="scripted", MODEL_ID="scripted@20ms") as server:
        ended = transcribe("--url", server.url, fixtures / "letter.flac", "--timings", "-f", "json")
    timings = json.loads(ended.stdout)["timings"]
    assert timings["recognize"] > 0
    assert timings["decode"] > 0
    assert "peak_memory_mb" not in timings
    assert "peak memory" not in ended.stderr
    (row,) = table_of(ended.stderr).values()
    assert row["recognize"] > 0


def test_a_profile_is_a_page_with_the_threads_of_the_loop_and_the_steps(fixtures: Path, tmp_path: Path) -> None:
    page = tmp_path / "profile.html"
    ended = transcribe(fixtures / "letter.flac", "--profile", page, ASR_BACKEND=EMBEDDED, MODEL_ID="")
    assert ended.returncode == 0, ended.stderr
    text = page.read_text()
    assert "<html" in text
    threads = set(re.findall(r'"identifier": *"(\w+)\\u0000<thread>', text))
    assert {"MainThread", "decode_0"} <= threads
    if EMBEDDED == "moonshine":
        assert "moonshine_0" in threads
        assert "backends/moonshine/model.py" in text


def test_a_missing_profiler_is_an_error_that_names_the_extra(fixtures: Path, tmp_path: Path) -> None:
    (tmp_path / "pyinstrument.py").write_text("raise ImportError")
    command = [sys.executable, "-m", "steno", "transcribe", fixtures / "letter.flac", "--profile", tmp_path / "a.html"]
    without = {**SCRIPTED, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, env=without, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr == "steno: --profile needs pyinstrument: pip install 'steno[profile]'\n"
    assert not (tmp_path / "a.html").exists()
