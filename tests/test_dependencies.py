"""The parsers of what strangers send are those that the bounds were tested with."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize("package", ["uvicorn", "httptools", "websockets", "granian"])
def test_what_the_servers_edge_relies_on_has_a_floor_and_a_ceiling(package: str) -> None:
    (needed,) = [parsed for parsed in map(Requirement, PROJECT["dependencies"]) if parsed.name == package]
    assert {specifier.operator for specifier in needed.specifier} == {">=", "<"}
    assert needed.specifier.contains(version(package))
