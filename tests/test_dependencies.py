"""The parsers of what strangers send are those that the bounds were tested with."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from steno.backends.qwen.installed import NEEDED

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "steno"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = [*PROJECT["dependencies"], *(line for name, extra in PROJECT["optional-dependencies"].items()
                                        if name != "dev" for line in extra)]  # fmt: skip
OPTIONAL_EXTRAS = {"flash_attn", "torchao", "sounddevice", "moonshine_voice", "ray", "vllm", "pyannote"}
"""Imported where they are installed: behind a check, or in an extra that the tests do not install."""


@pytest.mark.parametrize("package", ["uvicorn", "httptools", "websockets", "granian"])
def test_what_the_servers_edge_relies_on_has_a_floor_and_a_ceiling(package: str) -> None:
    (needed,) = [parsed for parsed in map(Requirement, PROJECT["dependencies"]) if parsed.name == package]
    assert {specifier.operator for specifier in needed.specifier} == {">=", "<"}
    assert needed.specifier.contains(version(package))


def test_the_floors_checked_at_run_time_are_those_of_the_package() -> None:
    qwen = {parsed.name: parsed.specifier for parsed in map(Requirement, PROJECT["optional-dependencies"]["qwen"])}
    for package, floor in NEEDED.items():
        dotted = ".".join(map(str, floor))
        assert f">={dotted}" in [str(specifier) for specifier in qwen[package]]


def test_every_package_that_the_server_imports_is_a_dependency_of_its_own() -> None:
    """A package that only another one brings can vanish with the next release of that one."""
    named = {re.sub(r"[-_.]+", "_", Requirement(line).name).lower() for line in DECLARED}
    provided = {module for module, packages in packages_distributions().items()
                if named & {re.sub(r"[-_.]+", "_", package).lower() for package in packages}}  # fmt: skip
    imported: dict[str, str] = {}
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported |= {name.split(".")[0]: file.name for name in names if name is not None}
    foreign = set(imported) - set(sys.stdlib_module_names) - {"steno"} - OPTIONAL_EXTRAS
    assert {name: imported[name] for name in foreign - provided} == {}
