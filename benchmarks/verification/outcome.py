"""Results of checks, and a report: a table, JSON, Markdown."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from steno.errors import StenoError

Verdict = Literal["pass", "fail", "skipped"]
MARKS: dict[Verdict, str] = {"pass": "PASS", "fail": "FAIL", "skipped": "skip"}


@dataclass(frozen=True, slots=True)
class Check:
    """`says`: a sentence for people; `measured`: its numbers."""

    name: str
    verdict: Verdict
    says: str
    measured: dict[str, Any] = field(default_factory=dict)


def judged(name: str, good: bool, says: str, **measured: Any) -> Check:
    return Check(name, "pass" if good else "fail", says, measured)


def skipped(name: str, why: str) -> Check:
    return Check(name, "skipped", why)


def attempted(name: str, check: Callable[[], Check]) -> Check:
    """Run `check`; an exception is a failure, and later checks still run."""
    try:
        return check()
    except StenoError as error:
        return Check(name, "fail", error.message)
    except Exception as error:  # noqa: BLE001 - the outermost boundary of a check
        traceback.print_exc()
        return Check(name, "fail", f"broke down: {type(error).__name__}: {error}")


def passed(checks: Sequence[Check]) -> bool:
    return all(check.verdict != "fail" for check in checks)


def line(check: Check) -> str:
    """The row of the table."""
    return f"{MARKS[check.verdict]}  {check.name:8} {check.says}"


def write_markdown(path: Path, document: dict[str, Any], checks: Sequence[Check]) -> None:
    """The table, then all numbers, then all files; `document` as in the JSON."""
    lines = ["# steno: a real Qwen3-ASR, verified", "", f"`{document['command']}`, {document['began']}", ""]
    lines += ["| check | verdict | |", "|---|---|---|"]
    lines += [f"| {check.name} | **{check.verdict}** | {_cell(check.says)} |" for check in checks]
    lines += ["", "## Measured", "", "| check | what | value |", "|---|---|---|"]
    lines += [
        f"| {check.name} | {name} | {_cell(value)} |"
        for check in checks
        for name, value in check.measured.items()
        if not isinstance(value, list)
    ]
    lines += ["", "## Files", "", "| file | seconds | error rate | said | heard |", "|---|---|---|---|---|"]
    for file in document["files"]:
        rate = "" if file["rate"] is None else f"{file['rate']:.1%} ({file['unit']})"
        said, heard = _cell(file["said"] or ""), _cell(file["heard"])
        lines.append(f"| {file['name']} | {file['seconds']:.1f} | {rate} | {said} | {heard} |")
    lines += ["", "## Measured on", ""]
    lines += [f"- {name}: {value}" for name, value in {**document["machine"], **document["versions"]}.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
