"""The plots of a report. Each draws itself from a stored run, or says what the run lacks."""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.reporting.stored_run import StoredRun, series_of, value_of

Points = Sequence[tuple[float, float]]

DPI = 110
LIGHT, DARK = "default", "dark_background"
SIZE = (8.0, 4.2)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plot in both colour schemes. `alt` says in words what it shows."""

    name: str
    title: str
    alt: str
    light: bytes
    dark: bytes


@dataclass(frozen=True, slots=True)
class Plot:
    """`draw` returns the text for those who do not see the plot, or an empty one if the run lacks the data."""

    name: str
    title: str
    draw: Callable[[StoredRun, Any], str]
    command: str
    """What gives a run the data."""


def drawn(plot: Plot, run: StoredRun) -> Drawn | None:
    """The plot, or None if the run lacks its data."""
    images = []
    alt = ""
    for style in (LIGHT, DARK):
        with _axes(style) as (axes, image):
            axes.set_title(plot.title)
            if not (alt := plot.draw(run, axes)):
                return None
        images.append(image.getvalue())
    return Drawn(plot.name, plot.title, alt, *images)


def _latency(run: StoredRun, axes: Any) -> str:
    lines = {name: series_of(run, "live", f"{name}_distribution") for name in ("partials", "finals")}
    if not all(lines.values()):
        return ""
    for name, points in lines.items():
        _line(axes, name, points)
    axes.set(xlabel="ms after the audio was sent", ylabel="% of messages", ylim=(0, 100))
    axes.set_xlim(left=0)
    sessions = value_of(run, "live", "sessions") or 0
    lags = ("partial_lag_p50_ms", "partial_lag_p95_ms", "final_lag_p95_ms")
    p50, p95, final_p95 = (value_of(run, "live", name) for name in lags)
    return (
        f"Distribution of the lag of text with {sessions:.0f} live streams: half of the partials come within "
        f"{p50:.0f} ms, 95 % within {p95:.0f} ms; 95 % of the finals within {final_p95:.0f} ms."
    )


def _step_cost(run: StoredRun, axes: Any) -> str:
    steps, naive, refeed = (series_of(run, "streaming_cost", f"{name}_ms") for name in ("steno", "naive", "refeed"))
    if not steps or not refeed:
        return ""
    _line(axes, "steno: a live step", steps)
    _line(axes, "recomputing the utterance", naive, "o--")
    _line(axes, "feeding the session again", refeed, "s--")
    axes.set(xlabel="seconds of the session", ylabel="ms of one step")
    axes.set_ylim(bottom=0)
    halves = [[ms for end, ms in steps if (end > steps[-1][0] / 2) is late] for late in (False, True)]
    means = ", ".join(f"{statistics.fmean(half):.0f} ms" for half in halves if half)
    return (
        f"Cost of a live step over a session of {steps[-1][0]:.0f} s: the mean of steno's steps in the first and the "
        f"second half of it is {means}; recomputing {naive[-1][0]:.0f} s of an utterance takes "
        f"{naive[-1][1]:.0f} ms, feeding all of the session again {refeed[-1][1]:.0f} ms at its end."
    )


def _streams(run: StoredRun, axes: Any) -> str:
    lines = {percent: series_of(run, "live", f"lag_p{percent}_ms") for percent in (50, 95)}
    if len(lines[95]) < 3:
        return ""
    for percent, points in lines.items():
        _line(axes, f"{percent}th percentile", points, "o-")
    axes.set(xlabel="live streams at once", ylabel="lag of partials, ms")
    axes.set_ylim(bottom=0)
    found = ", ".join(f"{lag:.0f} ms with {streams:.0f}" for streams, lag in lines[95])
    return f"Lag of partials by the number of live streams, 95th percentile: {found}."


RECOGNISERS = {
    "Moonshine": ("embedded", "moonshine_wer", "moonshine_rtf"),
    "PocketSphinx": ("embedded", "sphinx_wer", "sphinx_rtf"),
    "Qwen3-ASR, tiny test checkpoint on its own clips": ("offline", "steno_wer", "steno_real_time_factor"),
}


def _errors(run: StoredRun, axes: Any) -> str:
    found: dict[str, tuple[float, float]] = {}
    for name, (benchmark, *figures) in RECOGNISERS.items():
        values = [value_of(run, benchmark, figure) for figure in figures]
        if values[0] is not None and values[1] is not None:
            found[name] = values[1], 100 * values[0]
    if not found:
        return ""
    for name, (speed, wer) in found.items():
        axes.plot([speed], [wer], "o", markersize=9, label=name)
    axes.set(xlabel="CPU seconds for a second of audio (log)", ylabel="word error rate, %", xscale="log")
    axes.set_ylim(bottom=-1)
    axes.legend()
    said = "; ".join(f"{name}: {wer:.1f} % errors at {speed:.3g} s" for name, (speed, wer) in found.items())
    return f"Word errors against CPU seconds for a second of audio. {said}."


def _memory(run: StoredRun, axes: Any) -> str:
    lines = {
        "a file of ten minutes": series_of(run, "footprint", "ten_minutes_rss_mb"),
        "a file of one hour": series_of(run, "footprint", "one_hour_rss_mb"),
        "one long live stream": series_of(run, "endurance", "rss_mb"),
    }
    found = {name: points for name, points in lines.items() if points}
    if not found:
        return ""
    for name, points in found.items():
        _line(axes, name, points)
    axes.set(xlabel="seconds", ylabel="memory of the server, MB (10⁶ bytes)")
    axes.set_ylim(0, 1.15 * max(mb for points in found.values() for _, mb in points))
    said = ", ".join(f"{name}: at most {max(mb for _, mb in points):.0f} MB" for name, points in found.items())
    return f"Resident memory of the server process over time. {said}."


PEERS = {
    "int8": "steno, int8",
    "ggml_q8": "ggml, 8-bit blocks",
    "ggml_bf16": "ggml, bf16",
    "c": "C program, OpenBLAS",
    "qwen_asr": "qwen-asr",
    "vllm": "vLLM",
}
PARTS = ("encoder", "prefill", "decode")


def _peers(run: StoredRun, axes: Any) -> str:
    times = {
        label: {part: value_of(run, "peers", f"{name}_{part}_ms") for part in (*PARTS, "clip")}
        for name, label in PEERS.items()
    }
    found = {label: parts for label, parts in times.items() if parts["clip"] is not None}
    if len(found) < 2:
        return ""
    width = 0.8 / len(found)
    shown = (*PARTS, "clip")
    for n, (label, parts) in enumerate(found.items()):
        at = [place + n * width for place in range(len(shown))]
        axes.bar(at, [parts[part] or 0 for part in shown], width, label=label)
    names = ["encoder", "prefill", "one token", "whole clip"]
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(shown))], names)
    axes.set(ylabel="ms (log)", yscale="log")
    axes.legend()
    said = "; ".join(f"{label}: {parts['clip']:.0f} ms" for label, parts in found.items())
    threads = value_of(run, "peers", "threads") or 0
    return f"The same clip and weights through each program; threads: {threads:.0f}. Whole clip: {said}."


PLOTS = (
    Plot("latency", "How soon live text comes", _latency, "python -m benchmarks.report live"),
    Plot("step_cost", "Cost of a live step over the session", _step_cost, "python -m benchmarks.report streaming_cost"),
    Plot("streams", "Lag by the number of live streams", _streams, "python -m benchmarks.report live"),
    Plot("errors", "Word errors against speed", _errors, "python -m benchmarks.report embedded offline"),
    Plot("memory", "Memory over time", _memory, "python -m benchmarks.report footprint endurance"),
    Plot(
        "peers",
        "Beside other programs",
        _peers,
        "python -m benchmarks.report peers, or --include a JSON of benchmarks.peers",
    ),
)


def _line(axes: Any, label: str, points: Points, style: str = "-") -> None:
    axes.plot([x for x, _ in points], [y for _, y in points], style, label=label)
    axes.legend()


@contextmanager
def _axes(style: str) -> Iterator[tuple[Any, io.BytesIO]]:
    """Axes to draw on; the PNG is there at the end."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    image = io.BytesIO()
    with pyplot.style.context(style):
        figure, axes = pyplot.subplots(figsize=SIZE)
        try:
            axes.grid(alpha=0.3)
            yield axes, image
            figure.tight_layout()
            figure.savefig(image, format="png", dpi=DPI, metadata={"Software": None})
        finally:
            pyplot.close(figure)
