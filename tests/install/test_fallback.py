"""Installing on a platform for which moonshine-voice has no wheel.

The real Makefile and the real pip are made to believe in an old glibc (PEP 600, `_manylinux`). Needs PyPI;
runs with `make test ARGS='-m slow'`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

OLD_GLIBC = '''
def manylinux_compatible(major, minor, arch):
    """As on Debian 11 and Ubuntu 20.04."""
    return (major, minor) <= (2, 31)
'''


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="manylinux is Linux")
def test_without_a_wheel_the_installation_succeeds_and_pocketsphinx_serves(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "_manylinux.py").write_text(OLD_GLIBC, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "old"), "PYTHON": sys.executable}

    made = subprocess.run(
        ["make", ".venv/.installed"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "the embedded recogniser will be PocketSphinx" in made.stdout
    assert "moonshine-voice" in made.stdout.splitlines()[-2], "pip's own words"

    steno = tmp_path / ".venv" / "bin" / "steno"
    report = json.loads(subprocess.check_output([steno, "doctor", "--json"], env=environment, text=True))
    assert report["serves_with"] == "sphinx"
    assert report["backends"]["moonshine"]["reason"].startswith("needs moonshine-voice==0.1.0")
    assert "moonshine" in report["better"]
    said = subprocess.run(
        [steno, "transcribe", tmp_path / "src" / "steno" / "sample.flac"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "weather" in said.stdout
