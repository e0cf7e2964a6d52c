"""Generates the reference of all settings: `steno serve --help` and `docs/settings.md`."""

from __future__ import annotations

from typing import Any, get_args

from steno.settings import Settings
from steno.settings_fields import Group, group_of


def table() -> str:
    """The settings as Markdown, by group: `docs/settings.md`."""
    lines: list[str] = []
    for group in get_args(Group):
        lines += [f"## {group}", "", "| variable | default | meaning |", "|---|---|---|"]
        for name, field in Settings.model_fields.items():
            if group_of(field) == group:
                lines.append(f"| `{name.upper()}` | {_default(field.default)} | {field.description} |")
        lines.append("")
    return "\n".join(lines)


def help_lines() -> list[tuple[str, list[tuple[str, str]]]]:
    """For `--help`: by group, each variable, and its description with its default."""
    groups: list[tuple[str, list[tuple[str, str]]]] = []
    for group in get_args(Group):
        rows = [
            (name.upper(), f"{field.description} [{_default(field.default)}]".replace("`", ""))
            for name, field in Settings.model_fields.items()
            if group_of(field) == group
        ]
        if rows:
            groups.append((group, rows))
    return groups


def _default(value: Any) -> str:
    if value is None or value == ():
        return "—"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
