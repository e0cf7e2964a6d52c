"""systemd checks the unit itself: it has to understand each line, and to find the service confined."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from steno.engine.worker.worker_supervisor import STOP_S
from steno.server.run.asgi_server import CLOSE_S
from steno.server.run.front_supervisor import END_S
from steno.settings import Settings

UNITS = Path(__file__).parent.parent.parent / "deploy" / "systemd"
UNIT = (UNITS / "steno.service").read_text(encoding="utf-8")
PROGRAM = "/opt/steno/bin/steno"
MAX_EXPOSURE = 2.0
"""Of 10, which is no confinement at all; up to 2 systemd says "OK"."""
TIMEOUT_S = 90.0


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that exists: systemd checks that."""
    assert UNIT.count(PROGRAM) == 1
    file = tmp_path / "steno.service"
    file.write_text(UNIT.replace(PROGRAM, sys.executable), encoding="utf-8")
    return file


def systemd_analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=TIMEOUT_S)


def with_gpu_drop_in(unit: Path) -> Path:
    folder = unit.with_name("steno.service.d")
    folder.mkdir()
    shutil.copy(UNITS / "gpu.conf", folder)
    return unit


def exposure_of(unit: Path) -> float:
    said = systemd_analyze("security", "--offline=yes", "--no-pager", unit)
    found = re.search(r"Overall exposure level for steno\.service: ([\d.]+)", said.stdout)
    assert found is not None, said.stderr
    return float(found[1])


@pytest.mark.parametrize("with_gpu", [False, True])
def test_systemd_has_no_complaint(unit: Path, with_gpu: bool) -> None:
    assert complaints_about(with_gpu_drop_in(unit) if with_gpu else unit) == []


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ("ProtectSystm=strict", "Unknown key 'ProtectSystm'"),
        ("ProtectSystem=perhaps", "Failed to parse protect system value"),
        ("KillSignal=SIGNONE", "Failed to parse signal name"),
    ],
)
def test_systemd_would_complain_about_a_mistake(unit: Path, wrong: str, complaint: str) -> None:
    unit.write_text(unit.read_text(encoding="utf-8").replace("UMask=0077", wrong), encoding="utf-8")
    (said,) = complaints_about(unit)
    assert complaint in said


def complaints_about(unit: Path) -> list[str]:
    """A line that systemd does not understand is reported and ignored; the exit code is 0."""
    ended = systemd_analyze("verify", unit)
    assert ended.returncode == 0, ended.stderr
    return [line for line in ended.stderr.splitlines() if unit.parent.name in line or unit.stem in line]


def test_the_service_is_confined_and_with_a_gpu_nearly_as_much(unit: Path) -> None:
    confined = exposure_of(unit)
    assert confined <= MAX_EXPOSURE
    assert confined <= exposure_of(with_gpu_drop_in(unit)) <= MAX_EXPOSURE + 0.5


def test_the_service_has_the_time_to_drain_and_its_decoders_get_no_signal() -> None:
    service = options_of_service()
    drain_s = Settings.model_fields["drain_timeout"].default
    assert int(service["TimeoutStopSec"]) > drain_s + END_S + CLOSE_S + STOP_S
    assert (service["KillSignal"], service["KillMode"]) == ("SIGTERM", "mixed")


def test_the_settings_in_the_example_exist_and_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    text = (UNITS / "steno.env").read_text(encoding="utf-8")
    variables = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.M))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert set(variables) <= {name.upper() for name in Settings.model_fields}
    Settings()


def test_the_folders_in_the_example_are_those_that_the_service_may_write_to() -> None:
    service = options_of_service()
    text = (UNITS / "steno.env").read_text(encoding="utf-8")
    allowed = (f"/var/lib/{service['StateDirectory']}/", f"/var/cache/{service['CacheDirectory']}/")
    for name in ("JOBS_DB", "CACHE_DIR"):
        (path,) = re.findall(rf"^#{name}=(.*)$", text, re.M)
        assert path.startswith(allowed)


def options_of_service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(UNIT)
    return parser["Service"]
