"""One run of the report as a JSON file: `benchmarks/results/<machine>/<date>-<commit>.json`.

    {"format": 1, "began": …, "took_s": …, "form": "quick", "command": …, "commit": …, "dirty": false,
     "interrupted": false,
     "machine": {"name": …, "processor": …, "cores": …, "memory_gb": …, "platform": …}, "versions": {…},
     "benchmarks": {name: {"command": …, "took_s": …, "noise": {…}, "document": the benchmark's JSON, "thinned": {…}}},
     "failed": {name: why}}

Lists of over 120 samples are thinned: every n-th is kept, and `thinned` has their length before.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import harness
from benchmarks.reporting.reported_benchmarks import ROOT

StoredRun: TypeAlias = dict[str, Any]

FORMAT = 1
MAX_SAMPLES = 120
DIGITS = 5
GIT_S = 30.0


def machine_name(machine: Mapping[str, Any]) -> str:
    """A readable name from processor and cores: `amd-epyc-2-cores`. No host name."""
    processor = re.sub(r"\((r|tm)\)|\bcpu\b|@.*", " ", str(machine["processor"]).lower())
    return re.sub(r"[^a-z0-9]+", "-", f"{processor or 'unknown'} {machine['cores']} cores").strip("-")


def new_run(form: str, command: str, began: str) -> StoredRun:
    machine = harness.machine()
    commit, is_dirty = _commit()
    return {
        "format": FORMAT, "began": began, "took_s": 0.0, "form": form, "command": command, "commit": commit,
        "dirty": is_dirty, "interrupted": False, "machine": {"name": machine_name(machine), **machine},
        "versions": harness.versions(), "benchmarks": {}, "failed": {},
    }  # fmt: skip


def entry(command: str, document: Mapping[str, Any], noise: Mapping[str, float] | None) -> dict[str, Any]:
    """What a run keeps of a benchmark's JSON: not what the run says of all of them, and long lists thinned."""
    kept = {key: value for key, value in document.items() if key not in ("machine", "versions", "command")}
    thinned: dict[str, int] = {}
    for kind in ("samples", "series"):
        for name, values in kept.get(kind, {}).items():
            if len(values) > MAX_SAMPLES:
                thinned[f"{kind}.{name}"] = len(values)
        kept[kind] = {name: _rounded(thin(values)) for name, values in kept.get(kind, {}).items()}
    found = {"command": command, "took_s": document.get("took_s"), "noise": noise, "document": kept}
    return found | ({"thinned": thinned} if thinned else {})


def thin(values: list[Any], most: int = MAX_SAMPLES) -> list[Any]:
    """Every n-th, so that at most so many are left; the first and the last always are."""
    if len(values) <= most:
        return values
    return [values[round(n * (len(values) - 1) / (most - 1))] for n in range(most)]


def store(run: StoredRun, results: Path) -> Path:
    """Write a run beside those of the same machine; never over another one."""
    stem = f"{run['began'][:10]}-{run['commit'][:9] or 'unknown'}{'-dirty' if run['dirty'] else ''}"
    folder = results / run["machine"]["name"]
    folder.mkdir(parents=True, exist_ok=True)
    names = (f"{stem}.json", *(f"{stem}-{n}.json" for n in range(2, 1000)))
    file: Path = next(path for path in (folder / name for name in names) if not path.exists())
    file.write_text(_text(run), encoding="utf-8")
    return file


def read_run(file: Path) -> StoredRun:
    run: StoredRun = json.loads(file.read_text(encoding="utf-8"))
    if run.get("format") != FORMAT:
        raise ValueError(f"{file}: expected format {FORMAT}, got {run.get('format')}")
    return run


def value_of(run: StoredRun, benchmark: str, figure: str) -> float | None:
    """A figure of a benchmark's summary; None if the run lacks it."""
    found = run["benchmarks"].get(benchmark)
    return found["document"]["summary"].get(figure) if found else None


def series_of(run: StoredRun, benchmark: str, name: str) -> list[tuple[float, float]]:
    """The points of a benchmark's series; none if the run lacks it."""
    found = run["benchmarks"].get(benchmark, {"document": {}})
    return [(x, y) for x, y in found["document"].get("series", {}).get(name, ())]


def _text(run: StoredRun) -> str:
    """JSON with innermost lists on one line."""
    text = json.dumps(run, indent=1, ensure_ascii=False)
    return re.sub(r"\[[^\[\]{}\"]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _commit() -> tuple[str, bool]:
    """HEAD, and whether tracked files differ from it."""
    try:
        head = _git("rev-parse", "HEAD").strip()
        return head, bool(_git("status", "--porcelain", "--untracked-files=no").strip())
    except (OSError, subprocess.SubprocessError):
        return "", False


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=GIT_S).stdout
