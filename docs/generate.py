"""Writes the generated parts of the documentation: `make docs`. A test keeps them current."""

from __future__ import annotations

from pathlib import Path

from steno import settings_reference

DOCS = Path(__file__).parent

SETTINGS_HEAD = """# Settings

Made by `make docs` from `src/steno/settings.py`; do not edit. steno reads its environment once, at the start; a bad
value stops the start and names the variable. Options of the command line win over variables.

"""


def settings_page() -> str:
    """`docs/settings.md`."""
    return SETTINGS_HEAD + settings_reference.table()


if __name__ == "__main__":
    (DOCS / "settings.md").write_text(settings_page(), encoding="utf-8")
