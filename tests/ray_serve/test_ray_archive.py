"""`steno archive run --ray` on a cluster of this machine: the same manifests as without."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from command_line import run_command

SCRIPTED = {**os.environ, "ASR_BACKEND": "scripted", "MODEL_ID": "scripted@1ms", "OMP_NUM_THREADS": "1"}


def archive(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return run_command("archive", *words, "-a", folder, environment=SCRIPTED)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "work" not in path.relative_to(folder).parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != "lock"}


def test_a_cluster_makes_the_same_archive_and_computes_nothing_twice(fixtures: Path, tmp_path: Path) -> None:
    here, there, broken = tmp_path / "here", tmp_path / "there", tmp_path / "broken.wav"
    broken.write_text("this is no audio")
    names = ("weather", "letter", "train", "market", "doctor")
    for folder in (here, there):
        assert archive(folder, "add", *(fixtures / f"{name}.flac" for name in names), broken).returncode == 0
    assert archive(here, "run").returncode == 1
    ended = archive(there, "run", "--ray", "local", "--jobs", "2")
    assert ended.returncode == 1
    assert "5 of 6 recordings up to date" in ended.stderr
    assert "steno: broken-" in ended.stderr
    assert contents(here) == contents(there)
    again = archive(there, "run", "--ray", "local", "--jobs", "2")
    assert "computed: nothing; known: probe 5" in again.stderr
    status = json.loads(archive(there, "status", "--json").stdout)
    assert (status["computed"]["words"], status["repeated"]) == (5, 0)
    assert archive(there, "verify").returncode == 0


def test_ray_and_a_server_exclude_each_other(tmp_path: Path) -> None:
    refused = archive(tmp_path, "run", "--ray", "local", "--url", "http://127.0.0.1:9")
    assert (refused.returncode, "exclude each other" in refused.stderr) == (2, True)
