"""The report of a dataset: one HTML page, and its plots as PNG."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steno.archive.dataset.dataset_writer import DatasetSummary
from steno.archive.dataset.message_filters import FILTERS
from steno.errors import UnsupportedFeatureError
from steno.whole_file import new_file, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOTTED_MESSAGES, PLOTTED_TOKENS = 20, 2000
MAX_LABEL = 40
MAX_CHARS = 200
STYLE = (
    "body{font:16px system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "td,th{padding:.2rem 1rem;text-align:left}img{max-width:100%}"
)

Draw = Callable[["Axes"], None]


def write_report(summary: DatasetSummary, output: Path) -> None:
    """Write `report.html` and `plots/*.png`.

    Raises:
        UnsupportedFeatureError: matplotlib is not installed.
    """
    pictures = [(name, title, _plot(output / "plots" / f"{name}.png", draw)) for name, title, draw in _plots(summary)]
    images = "".join(
        f'<h2>{title}</h2><img alt="{title}" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
        for _, title, picture in pictures
    )
    statistics = summary.statistics
    facts = {
        "messages": summary.counts.messages,
        "examples": summary.counts.kept,
        "with a lower weight (emotes alone)": summary.counts.weighted_down,
        "authors": len(statistics.authors),
        "tokens": sum(statistics.tokens.values()),
        "entropy of tokens, bits": f"{statistics.token_entropy_bits:.2f}",
        **{f"examples in {split}": count for split, count in sorted(statistics.splits.items())},
    }
    removed = {name: summary.counts.removed[name] for name in FILTERS}
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>chat-sft</title><style>{STYLE}</style>"
        f"<h1>chat-sft</h1>{_table(('', ''), facts.items())}"
        f"<h2>Left out, by filter</h2>{_table(('filter', 'messages'), removed.items())}"
        f"<h2>Removed from messages</h2>{_table(('kind', 'parts'), sorted((+summary.counts.cleaned).items()))}"
        f"{images}"
        f"<h2>Most frequent messages</h2>{_table(('message', 'times'), statistics.top_messages)}"
        f"<h2>Parameters</h2>{_table(('', ''), summary.options.model_dump().items())}</html>\n"
    )
    write_whole(output / "report.html", page)


def _plots(summary: DatasetSummary) -> list[tuple[str, str, Draw]]:
    statistics = summary.statistics
    kept = {**{name: summary.counts.removed[name] for name in FILTERS}, "kept": summary.counts.kept}
    top = dict(statistics.top_messages[:PLOTTED_MESSAGES])
    lengths, lags = _up_to(MAX_CHARS, statistics.characters), statistics.quote_lags_s
    ranks = sorted(statistics.tokens.values(), reverse=True)[:PLOTTED_TOKENS]
    return [
        ("filters", "Messages by filter", lambda axes: _bars(axes, kept, "messages")),
        ("tokens", "Frequency of tokens by rank", lambda axes: _ranks(axes, ranks)),
        ("top_messages", "Most frequent messages", lambda axes: _bars(axes, top, "times")),
        ("lengths", "Length of messages", lambda axes: _histogram(axes, lengths, "characters")),
        ("gaps", "Time since the message before", lambda axes: _histogram(axes, statistics.gaps_s, "seconds")),
        ("lags", "Time since a word of the message was said", lambda axes: _histogram(axes, lags, "seconds")),
    ]


def _plot(path: Path, draw: Draw) -> bytes:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UnsupportedFeatureError("the report needs matplotlib: pip install 'steno[archive]'") from None
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    draw(figure.add_subplot())
    with new_file(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None})
    return path.read_bytes()


def _bars(axes: Axes, counts: Mapping[str, int], label: str) -> None:
    places = range(len(counts))
    axes.barh(places, list(counts.values()))
    axes.set_yticks(places, [_label(name) for name in counts])
    axes.invert_yaxis()
    axes.set_xlabel(label)


def _ranks(axes: Axes, counts: Sequence[int]) -> None:
    if counts:
        axes.loglog(range(1, len(counts) + 1), counts)
    axes.set(xlabel="rank", ylabel="times")


def _histogram(axes: Axes, counts: Mapping[int, int], label: str) -> None:
    axes.bar(list(counts.keys()), list(counts.values()), width=1.0)
    axes.set(xlabel=label, ylabel="messages")


def _up_to(most: int, counts: Mapping[int, int]) -> Counter[int]:
    """Larger values count as `most`."""
    merged: Counter[int] = Counter()
    for value, count in counts.items():
        merged[min(value, most)] += count
    return merged


def _label(text: str) -> str:
    """Plain ASCII: fonts lack emojis and many scripts, and a `$` would begin a formula."""
    ascii_only = "".join(char if char.isascii() and char.isprintable() else "?" for char in text).replace("$", r"\$")
    return ascii_only if len(ascii_only) <= MAX_LABEL else f"{ascii_only[: MAX_LABEL - 1]}..."


def _table(head: tuple[str, str], rows: Iterable[tuple[str, object]]) -> str:
    cells = "".join(f"<tr><td>{html.escape(name)}<td>{html.escape(_shown(value))}</tr>" for name, value in rows)
    return f"<table><tr><th>{head[0]}<th>{head[1]}</tr>{cells}</table>"


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
