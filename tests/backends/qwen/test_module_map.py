"""The map of modules in the package's docstring is the tree."""

from __future__ import annotations

import re
from pathlib import Path

import steno.backends.qwen as package


def test_every_module_has_one_line_in_the_map() -> None:
    folder = Path(package.__file__).parent
    modules = {".".join(file.relative_to(folder).with_suffix("").parts) for file in folder.rglob("[!_]*.py")}
    lines = re.findall(r"^- `([\w.]+)` ", package.__doc__ or "", re.MULTILINE)
    assert sorted(lines) == sorted(modules)
