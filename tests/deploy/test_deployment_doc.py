"""What `docs/deployment.md` names exists."""

from __future__ import annotations

import re
from pathlib import Path

from opentelemetry import environment_variables as of_api
from opentelemetry.sdk import environment_variables as of_sdk

from steno.engine.worker.worker_supervisor import LOADING_SILENCE_S, SILENCE_S, STOP_S
from steno.server.run.asgi_server import CLOSE_S
from steno.server.run.front_supervisor import END_S
from steno.settings import Settings

ROOT = Path(__file__).parent.parent.parent
DOC = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
MANIFESTS = "".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "deploy").rglob("*.*")))


def test_every_file_that_is_named_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", DOC) if not link.startswith("http")]
    assert links
    for link in links:
        assert (ROOT / "docs" / link).exists(), link
    named = re.findall(r"(?<![/\w])((?:deploy|tests|docker)/[\w./-]+\w)", DOC)
    for path in named:
        assert (ROOT / path).exists(), path
    assert {"deploy/systemd/steno.service", "deploy/systemd/steno.env", "deploy/kubernetes/base"} <= set(named)


def test_every_variable_that_is_named_is_a_setting() -> None:
    known = {name.upper() for name in Settings.model_fields} | {"DRAINING", "SYS_NICE"}
    known |= {name for name in (*dir(of_api), *dir(of_sdk)) if name.startswith("OTEL_")}
    assert set(re.findall(r"`([A-Z]+_[A-Z_]+)`", DOC)) <= known


def test_the_time_limits_that_are_named_are_those_of_the_supervisors() -> None:
    assert f"reports nothing for {SILENCE_S:g} s ({LOADING_SILENCE_S:g} s while it loads a model)" in DOC
    closing_s, with_fronts_s = 2 * CLOSE_S + 1, END_S + CLOSE_S
    assert f"connections have {closing_s} s more to close, with `FRONTS` {with_fronts_s:g} s" in DOC
    assert f"process has {STOP_S:g} s to end" in DOC


def test_the_paths_and_the_secret_are_those_of_the_files() -> None:
    for name in ("/opt/steno/bin/steno", "/etc/steno/steno.env", "/etc/systemd/system/steno.service.d/gpu.conf"):
        assert name in DOC
        assert name in MANIFESTS
    secret = re.search(r"create secret generic (\S+) --from-literal=([a-z-]+)=", DOC)
    assert secret is not None
    assert f"name: {secret[1]}\n                  key: {secret[2]}\n" in MANIFESTS
