"""No container engine runs in the tests: what the files copy and run is checked to exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from running import RunningServer
from steno.engine.worker.worker_supervisor import STOP_S
from steno.server.run.asgi_server import CLOSE_S
from steno.server.run.front_supervisor import END_S
from steno.settings import Settings

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
VLLM_DOCKERFILE = (ROOT / "Dockerfile.vllm").read_text(encoding="utf-8")
DOCKERFILES = pytest.mark.parametrize("dockerfile", [DOCKERFILE, VLLM_DOCKERFILE], ids=["plain", "vllm"])
SERVICES = pytest.mark.parametrize("name", ["steno", "vllm"])
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))


@DOCKERFILES
def test_everything_that_is_copied_exists_and_is_not_ignored(dockerfile: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.M)
    for source in " ".join(sources).split():
        assert (ROOT / source).exists(), source
        assert f"!{source.split('/')[0]}" in ignored, f"{source} does not reach the build"


@DOCKERFILES
def test_everything_that_the_package_needs_to_build_is_copied(dockerfile: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    copied = " ".join(re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.M)).split()
    for name in (project["readme"], project["license-files"][0], "pyproject.toml", "src"):
        assert name in copied, name


@DOCKERFILES
def test_the_command_is_one_that_the_package_installs(dockerfile: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    command = json.loads(re.findall(r"^CMD (.+)$", dockerfile, re.M)[-1])
    assert command[0] in project["scripts"]
    helped = subprocess.run([sys.executable, "-m", *command, "--help"], capture_output=True, text=True, timeout=90)
    assert helped.returncode == 0


def test_it_does_not_run_as_root_and_has_extras_a_health_check_and_a_volume() -> None:
    lines = DOCKERFILE.splitlines()
    last_user = next(line for line in reversed(lines) if line.startswith("USER"))
    assert last_user == "USER steno"
    assert DOCKERFILE.count("FROM ") == 2
    for needed in ('ARG EXTRAS=""', "HEALTHCHECK", "VOLUME /models", "STOPSIGNAL SIGTERM"):
        assert needed in DOCKERFILE


def test_the_vllm_image_does_not_run_as_root_keeps_vllm_s_pins_and_does_not_start_vllm_s_server() -> None:
    lines = VLLM_DOCKERFILE.splitlines()
    assert next(line for line in reversed(lines) if line.startswith("USER")) == "USER steno"
    assert "FROM vllm/vllm-openai:" in VLLM_DOCKERFILE
    for needed in ("HEALTHCHECK", "VOLUME /models", "STOPSIGNAL SIGTERM", "ENTRYPOINT []", "--constraint"):
        assert needed in VLLM_DOCKERFILE


@DOCKERFILES
def test_the_variables_that_are_set_are_ones_that_steno_knows(dockerfile: str) -> None:
    known = {name.upper() for name in Settings.model_fields} | {"PATH", "PYTHONUNBUFFERED"}
    block = re.search(r"^ENV (.+?)(?<!\\)\n", dockerfile, re.M | re.S)
    assert block is not None
    assert set(re.findall(r"([A-Z_]+)=", block[1])) <= known
    services = [service for service in COMPOSE["services"].values() if "build" in service]
    assert all(set(service["environment"]) <= known for service in services)


@SERVICES
def test_compose_builds_a_dockerfile_of_ours_and_gives_the_drain_its_time(name: str) -> None:
    service = COMPOSE["services"][name]
    folder = (ROOT / "docker" / service["build"]["context"]).resolve()
    assert folder == ROOT
    assert (folder / service["build"]["dockerfile"]).exists()
    grace_s = int(_default(service["stop_grace_period"]).rstrip("s"))
    assert grace_s > Settings.model_fields["drain_timeout"].default + END_S + CLOSE_S + STOP_S
    assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(COMPOSE["volumes"])


def test_compose_starts_vllm_only_if_asked() -> None:
    assert COMPOSE["services"]["vllm"]["profiles"] == ["vllm"]
    assert "profiles" not in COMPOSE["services"]["steno"]


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_compose_starts_monitoring_only_if_asked_for_this_machine_alone_and_with_files_that_exist(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["profiles"] == ["monitoring"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    mounted = [volume.partition(":")[0] for volume in service["volumes"]]
    folders = [ROOT / "docker" / source for source in mounted if source.startswith("..")]
    assert folders
    assert all(folder.is_dir() for folder in folders)
    assert {source for source in mounted if not source.startswith("..")} <= set(COMPOSE["volumes"])


def test_compose_takes_each_variable_from_the_environment_and_else_has_the_defaults_of_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    with monkeypatch.context() as image:
        for name, value in re.findall(r"(LOG_\w+)=(\w+)", DOCKERFILE):
            image.setenv(name, value)
        expected = Settings()
    variables = COMPOSE["services"]["steno"]["environment"]
    for name, value in variables.items():
        assert value.startswith(f"${{{name}:-"), name
        monkeypatch.setenv(name, _default(value))
    assert Settings() == expected
    assert set(variables) >= {"ASR_BACKEND", "MODEL_ID", "REQUEST_TIMEOUT", "LOG_JSON", "USE_GRANIAN", "DRAIN_TIMEOUT"}


def _default(value: str) -> str:
    """What compose makes of `${NAME:-default}` where NAME is not set."""
    return re.sub(r"\$\{\w+:-(.*)\}", r"\1", value)


@pytest.mark.parametrize("up", [True, False])
def test_the_health_check_tells_a_live_server_from_a_dead_one(up: bool) -> None:
    with RunningServer(ASR_BACKEND="scripted") as server:
        if not up:
            server.stop()
        assert (_check_health(server).returncode == 0) is up


def test_the_health_check_asks_the_server_itself_and_no_proxy() -> None:
    with RunningServer(ASR_BACKEND="scripted") as server:
        checked = _check_health(server, http_proxy="http://127.0.0.1:9", all_proxy="http://127.0.0.1:9")
    assert checked.returncode == 0, checked.stderr


def _check_health(server: RunningServer, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "docker" / "healthcheck.py"],
        env={"PORT": server.url.rpartition(":")[2], **environment}, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
