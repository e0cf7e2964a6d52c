"""The maps of modules, in the package's docstring and in the docs, are the tree."""

from __future__ import annotations

import re
from pathlib import Path

import steno.backends.qwen as package

ROOT = Path(__file__).parents[3]


def modules() -> list[str]:
    folder = Path(package.__file__).parent
    return sorted(".".join(file.relative_to(folder).with_suffix("").parts) for file in folder.rglob("[!_]*.py"))


def lines(text: str) -> list[str]:
    return sorted(re.findall(r"^- `([\w.]+)` ", text, re.MULTILINE))


def test_every_module_has_one_line_in_the_docstring() -> None:
    assert lines(package.__doc__ or "") == modules()


def test_every_module_has_one_line_in_the_architecture_document() -> None:
    document = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = document.partition("<!-- map of backends/qwen")[2].partition("\n## ")[0]
    assert lines(section) == modules()


def test_every_file_that_the_architecture_document_names_exists() -> None:
    document = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", document))
    assert named
    missing = [name for name in named if not ((ROOT / "src/steno" / name).exists() or (ROOT / name).exists())]
    assert missing == []
