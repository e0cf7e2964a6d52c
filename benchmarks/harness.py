"""What every benchmark shares: options, the machine's description, samples, a summary, JSON, and plots."""

from __future__ import annotations

import argparse
import base64
import html
import json
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("steno", "fastapi", "uvicorn", "granian", "numpy", "av", "onnxruntime", "pocketsphinx")


_STYLE = (
    "body{font:16px system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "td,th{padding:.2rem 1rem;text-align:left}img{max-width:100%}"
)


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="fewer and shorter runs: to see that it works")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the results here; plots appear beside it")
    return made


class Report:
    """Collects samples by name; the summary is the median of each unless a value is given outright."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self._name = name
        self._options = options
        self._samples: dict[str, list[float]] = {}
        self._series: dict[str, list[tuple[float, float]]] = {}
        self._notes: list[str] = []
        self._targets: dict[str, float] = {}
        self._began = time.time()

    def add(self, name: str, *values: float) -> None:
        self._samples.setdefault(name, []).extend(values)

    def add_series(self, name: str, points: Sequence[tuple[float, float]]) -> None:
        """Keep the points of a curve in the JSON; they have no part in the summary."""
        self._series[name] = [*points]

    def note(self, text: str) -> None:
        """Say it, and keep it in the JSON: what was left out, and why."""
        print(text, flush=True)
        self._notes.append(text)

    def save(self) -> None:
        """Write the JSON with what there is, if it was asked for: a run that is cut leaves that."""
        if self._options.json:
            self._options.json.parent.mkdir(parents=True, exist_ok=True)
            document = self._document(self._targets)
            self._options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    def summary(self) -> dict[str, float]:
        return {name: round(statistics.median(values), 4) for name, values in self._samples.items()}

    def finish(self, targets: dict[str, float] | None = None) -> None:
        """Print the summary (with targets, where there are any) and write the JSON if it was asked for."""
        targets = self._targets = targets or {}
        for name, value in self.summary().items():
            target = f"  (target: at most {targets[name]:g})" if name in targets else ""
            print(f"{name:32} {value:10.3f}{target}")
        self.save()

    def write_html(self, path: Path, targets: dict[str, float], plots: Sequence[Path]) -> None:
        """One page with everything in it: the command, the machine, the summary with its targets, the plots."""
        document = self._document(targets)
        rows = "".join(
            f"<tr><td>{name}</td><td>{value:g}</td><td>{targets.get(name, '')}</td></tr>"
            for name, value in self.summary().items()
        )
        facts = {"command": document["command"], **document["machine"], **document["versions"]}
        about = "".join(f"<tr><td>{name}</td><td>{html.escape(str(value))}</td></tr>" for name, value in facts.items())
        images = "".join(
            f'<img alt="{plot.stem}" src="data:image/png;base64,{base64.b64encode(plot.read_bytes()).decode()}">'
            for plot in plots
        )
        path.write_text(
            f"<!doctype html><meta charset=utf-8><title>steno: {self._name}</title><style>{_STYLE}</style>"
            f"<h1>{self._name}</h1><table><tr><th>result<th>value<th>target</tr>{rows}</table>{images}"
            f"<h2>measured on</h2><table>{about}</table>",
            encoding="utf-8",
        )

    def _document(self, targets: dict[str, float]) -> dict[str, Any]:
        return {
            "benchmark": self._name,
            "command": shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]]),
            "quick": self._options.quick,
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._began)),
            "took_s": round(time.time() - self._began, 1),
            "machine": machine(),
            "versions": versions(),
            "samples": self._samples,
            **({"series": self._series} if self._series else {}),
            **({"notes": self._notes} if self._notes else {}),
            "targets": targets,
            "summary": self.summary(),
        }


def machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def plot_lines(path: Path, title: str, x: str, y: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """A PNG with one line for each name."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for name, points in lines.items():
        axes.plot([point[0] for point in points], [point[1] for point in points], label=name)
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
