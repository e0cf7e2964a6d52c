"""Numbers in prose that a stored run fills: `<!-- report: NAME FILE -->` … `<!-- /report -->`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.reporting.machine_noise import describe
from benchmarks.reporting.reported_benchmarks import REGISTRY, ROOT, TINY
from benchmarks.reporting.stored_run import StoredRun, read_run, value_of

DOCUMENTS = ("README.md", "improvements.md")

_END = "<!-- /report -->"
_BLOCK = re.compile(rf"<!-- report: (\S+) (\S+) -->\n.*?{_END}", re.DOTALL)


class UnknownBlockError(Exception):
    """A block whose name or file does not exist."""


def fill(text: str, root: Path = ROOT, newest: str | None = None) -> str:
    """The text with each block filled from the run that it names, or from `newest` instead, a path below `root`."""

    def filled(found: re.Match[str]) -> str:
        name, file = found[1], newest or found[2]
        if name not in BLOCKS:
            raise UnknownBlockError(f"no block is called {name}; there are {', '.join(BLOCKS)}")
        if not (root / file).is_file():
            raise UnknownBlockError(f"{file} does not exist")
        return f"<!-- report: {name} {file} -->\n{BLOCKS[name](read_run(root / file))}\n{_END}"

    return _BLOCK.sub(filled, text)


def block_names(text: str) -> list[str]:
    return [found[1] for found in _BLOCK.finditer(text)]


def _overview(run: StoredRun) -> str:
    """What a stranger wants to know."""
    streams = value_of(run, "live", "sessions")
    rows = [
        _row(run, "lag of live text, {streams:.0f} streams at once, recognition aside (median, 95th percentile)",
             "{:.0f} ms, {:.0f} ms", ("live", "partial_lag_p50_ms"), ("live", "partial_lag_p95_ms"), streams=streams),
        _row(run, "CPU time of the server for one of them, recognition aside", "{:.2f} % of a core",
             ("live", "cpu_ms_per_100ms_audio")),
        _row(run, "a live Qwen3-ASR step, against recomputing (24 s) and against feeding all again (120 s)",
             f"{{:.1f}} × and {{:.1f}} × faster ({_size(run)})",
             ("streaming_cost", "naive_over_steno_24s"), ("streaming_cost", "refeed_over_steno_120s")),
        _row(run, "start of the server; memory without and with Moonshine", "{:.2f} s; {:.0f} MB, {:.0f} MB",
             ("footprint", "start_s"), ("footprint", "idle_rss_mb"), ("embedded", "loaded_rss_mb")),
        _row(run, "peak memory of the server for a file of one hour", "{:.0f} MB, {:.2f} × that for ten minutes",
             ("footprint", "one_hour_peak_mb"), ("footprint", "hour_over_ten_minutes")),
        _row(run, "subtitles for two hours of words", "{:.2f} s", ("captions", "two_hours_s")),
    ]  # fmt: skip
    return "\n".join(["| | |", "|---|---|", *filter(None, rows), "", _source(run)])


def _recognisers(run: StoredRun) -> str:
    """Errors, speed and memory of the embedded recognisers."""
    rows = [
        _row(run, "Moonshine, recordings", "{:.3f} | {:.3f} s | {:.0f} MB in all, {:.0f} after `IDLE_TIMEOUT`",
             *(("embedded", name) for name in ("moonshine_wer", "moonshine_rtf", "loaded_rss_mb", "unloaded_rss_mb"))),
        _row(run, "PocketSphinx, recordings", "{:.3f} | {:.3f} s |",
             *(("embedded", name) for name in ("sphinx_wer", "sphinx_rtf"))),
    ]  # fmt: skip
    head = ["| | word error rate | CPU time for a second of audio | memory |", "|---|---|---|---|"]
    return "\n".join([*head, *filter(None, rows), "", _source(run)])


def _all_figures(run: StoredRun) -> str:
    """Every figure that counts, with its target."""
    lines = ["| benchmark | figure | value | target at most |", "|---|---|---|---|"]
    for name, found in run["benchmarks"].items():
        document = found["document"]
        for figure in REGISTRY[name].figures if name in REGISTRY else ():
            if (value := document["summary"].get(figure.name)) is not None:
                target = document.get("targets", {}).get(figure.name)
                lines.append(
                    f"| `{name}` | {figure.about} (`{figure.name}`) | {value:.4g} {figure.unit}".rstrip()
                    + f" | {'' if target is None else f'{target:g}'} |"
                )
    return "\n".join([*lines, "", _source(run)])


BLOCKS: dict[str, Callable[[StoredRun], str]] = {
    "overview": _overview,
    "recognisers": _recognisers,
    "figures": _all_figures,
}


def _size(run: StoredRun) -> str:
    """Which weights the live steps were measured with."""
    command = run["benchmarks"].get("streaming_cost", {"command": ""})["command"]
    return "tiny checkpoint" if TINY in command else "0.6B size"


def _row(run: StoredRun, about: str, form: str, *figures: tuple[str, str], **names: float | None) -> str:
    """A row, or none if the run lacks one of its figures."""
    values = [value_of(run, *figure) for figure in figures]
    if None in (*values, *names.values()):
        return ""
    return f"| {about.format(**names)} | {form.format(*values)} |"


def _source(run: StoredRun) -> str:
    machine, noises = run["machine"], [found["noise"] for found in run["benchmarks"].values() if found["noise"]]
    dirty = " with uncommitted changes" if run["dirty"] else ""
    return (
        f"`{run['command']}`, {run['began'][:10]}, commit {run['commit'][:9]}{dirty}; {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_gb']:.0f} GiB, {describe(noises)}."
    )
