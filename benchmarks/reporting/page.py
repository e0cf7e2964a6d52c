"""A stored run as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from benchmarks.reporting.machine_noise import describe
from benchmarks.reporting.plots import PLOTS, Drawn, drawn
from benchmarks.reporting.reported_benchmarks import REGISTRY, Better
from benchmarks.reporting.stored_run import StoredRun

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--line:#c9ced4;--soft:#57606a}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--paper:#000;--line:#4a5158;--soft:#a3abb3}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
body{max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0;width:100%}caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td.number{text-align:right;font-variant-numeric:tabular-nums}figure{margin:1.5rem 0}img{max-width:100%;height:auto}
figcaption,.soft{color:var(--soft)}code{font-size:.9em;overflow-wrap:anywhere}
"""


def write_page(run: StoredRun, folder: Path) -> Path:
    """Write `index.html`, and each plot as a PNG beside it. Returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [image for plot in PLOTS if (image := drawn(plot, run)) is not None]
    for image in images:
        (folder / f"{image.name}.png").write_bytes(image.light)
    page = folder / "index.html"
    page.write_text(render_page(run, images), encoding="utf-8")
    return page


def render_page(run: StoredRun, images: Sequence[Drawn]) -> str:
    title = f"steno: measured on {run['began'][:10]}"
    have = {image.name for image in images}
    absent = [f"{plot.title}: this run has no data for it. <code>{escape(plot.command)}</code>"
              for plot in PLOTS if plot.name not in have]  # fmt: skip
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>"
        f"{_about(run)}<h2>Plots</h2>{''.join(map(_figure, images))}{_list('Plots without data', absent)}"
        f"<h2>Figures</h2>{''.join(_table(run, name) for name in run['benchmarks'])}"
        f"{_failed(run)}{_noise(run)}</main></body></html>\n"
    )


def _about(run: StoredRun) -> str:
    machine, noises = run["machine"], [found["noise"] for found in run["benchmarks"].values() if found["noise"]]
    facts = {
        "machine": f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']:g} GiB",
        "system": machine["platform"],
        "disturbance": describe(noises),
        "commit": f"{run['commit'] or 'unknown'}{', with uncommitted changes' if run['dirty'] else ''}",
        "command": run["command"],
        "took": f"{run['took_s'] / 60:.1f} minutes{', interrupted' if run['interrupted'] else ''}",
        "versions": ", ".join(f"{name} {version}" for name, version in run["versions"].items()),
    }
    rows = "".join(f'<tr><th scope="row">{name}</th><td>{escape(text)}</td></tr>' for name, text in facts.items())
    return f"<table><caption>This run</caption><tbody>{rows}</tbody></table>"


def _figure(image: Drawn) -> str:
    light, dark = (f"data:image/png;base64,{base64.b64encode(png).decode()}" for png in (image.light, image.dark))
    return (
        f'<figure><h3>{escape(image.title)}</h3><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{escape(image.alt)}"></picture><figcaption>{escape(image.alt)}</figcaption></figure>'
    )


def _table(run: StoredRun, name: str) -> str:
    found = run["benchmarks"][name]
    summary, targets = found["document"]["summary"], found["document"].get("targets", {})
    known = {figure.name: figure for figure in (REGISTRY[name].figures if name in REGISTRY else ())}
    rows = []
    for key in [*(key for key in known if key in summary), *(key for key in summary if key not in known)]:
        figure = known.get(key)
        unit = f" {figure.unit}" if figure and figure.unit else ""
        better = ("higher" if figure.better is Better.HIGHER else "lower") if figure else ""
        target = f"{targets[key]:g}" if key in targets else ""
        rows.append(
            f'<tr><th scope="row">{escape(figure.about if figure else key)}</th><td><code>{escape(key)}</code></td>'
            f'<td class="number">{summary[key]:.4g}{unit}</td><td>{better}</td><td class="number">{target}</td></tr>'
        )
    head = "".join(f'<th scope="col">{text}</th>' for text in ("what", "name", "value", "better", "target at most"))
    caption = f"{escape(name)}: <code>{escape(found['command'])}</code>"
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _failed(run: StoredRun) -> str:
    return _list("Failed", [f"{escape(name)}: {escape(why)}" for name, why in run["failed"].items()])


def _noise(run: StoredRun) -> str:
    columns = ("before_cpu_s", "after_cpu_s", "wall_over_cpu", "load_before", "load_after", "steal_share")
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f'<td class="number">{found["noise"][column]:g}</td>' for column in columns)
        + "</tr>"
        for name, found in run["benchmarks"].items()
        if found["noise"]
    )
    head = "".join(f'<th scope="col">{text}</th>' for text in ("benchmark", *columns))
    return (
        "<h2>Noise</h2><p>The same loop ran before and after each benchmark: its CPU seconds, and how long it waited "
        "for a core. Seconds compare within a run; between machines, compare ratios.</p>"
        "<table><caption>Disturbance during each benchmark</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _list(title: str, lines: Iterable[str]) -> str:
    items = "".join(f"<li>{line}</li>" for line in lines)
    return f"<h2>{title}</h2><ul>{items}</ul>" if items else ""
