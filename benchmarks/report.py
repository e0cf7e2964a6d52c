"""Run benchmarks, keep what they measured, and show it on one page.

    python -m benchmarks.report [--quick|--full] [names …] [--out out/report] [--results benchmarks/results]
    python -m benchmarks.report --show FILE      # the page of a stored run
    python -m benchmarks.report --fill [FILE]    # the marked blocks of README.md and improvements.md, from that run
    python -m benchmarks.report --list

Each benchmark is a process with a timeout; one that fails is reported at the end and does not stop the rest. A run is
stored as RESULTS/<machine>/<date>-<commit>.json, also after Ctrl-C with what there is; page and plots go to OUT.
`--include FILE` adds the JSON of a benchmark that was run by hand with other options. `--fill` without a file fills
each block from the run that it names.

Exit code: 0 success, 1 a benchmark failed, 2 usage, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.reporting.benchmark_runs import run_all
from benchmarks.reporting.blocks import DOCUMENTS, UnknownBlockError, fill
from benchmarks.reporting.page import write_page
from benchmarks.reporting.reported_benchmarks import REGISTRY, ROOT, command
from benchmarks.reporting.stored_run import entry, new_run, read_run, store

FAILED, INTERRUPTED = 1, 130


def main() -> int:
    options = _options()
    if options.list:
        for benchmark in REGISTRY.values():
            typed = command(benchmark.name, benchmark.arguments(is_quick=True))
            print(f"{benchmark.name:16} {benchmark.quick_s:4.0f} s  {typed}")
        return 0
    if options.fill is not None:
        return _fill(options.fill)
    if options.show:
        print(write_page(read_run(options.show), options.out))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return _measure(options)


def _measure(options: argparse.Namespace) -> int:
    began = time.monotonic()
    form = "full" if options.full else "quick"
    said = shlex.join(["python", "-m", "benchmarks.report", *sys.argv[1:]])
    run = new_run(form, said, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        chosen = [REGISTRY[name] for name in options.names or REGISTRY]
        run_all(run, chosen, options.out.resolve(), is_quick=not options.full)
    except KeyboardInterrupt:
        run["interrupted"] = True
        print("\ninterrupted; what there is is kept", flush=True)
    for name, document in options.included.items():
        run["benchmarks"][name] = entry(f"python -m benchmarks.{name} …", document, None)
    run["took_s"] = round(time.monotonic() - began, 1)
    stored = store(run, options.results)
    print(f"stored {stored}\npage {write_page(run, options.out)}")
    for name, why in run["failed"].items():
        print(f"failed: {name}: {why}", file=sys.stderr)
    return INTERRUPTED if run["interrupted"] else FAILED if run["failed"] else 0


def _included(files: Sequence[Path]) -> dict[str, Any]:
    """Benchmarks' documents by name. Raises ValueError: one is not such a document."""
    found: dict[str, Any] = {}
    for file in files:
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            found[document["benchmark"]] = document
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is not the JSON of a benchmark: {error}") from None
    return found


def _fill(newest: str) -> int:
    for name in DOCUMENTS:
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        try:
            after = fill(before, newest=newest or None)
        except UnknownBlockError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return FAILED
        path.write_text(after, encoding="utf-8")
        print(f"{name}: {'changed' if after != before else 'up to date'}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(REGISTRY)} (all)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_true", help="short forms, at most ten minutes in all (the default)")
    form.add_argument("--full", action="store_true", help="the forms that numbers are quoted from; hours")
    parser.add_argument("--out", type=Path, default=Path("out/report"), metavar="DIR", help="the page, plots, and logs")
    results = ROOT / "benchmarks" / "results"
    parser.add_argument("--results", type=Path, default=results, metavar="DIR", help="stored runs")
    parser.add_argument("--include", type=Path, nargs="+", default=[], metavar="FILE", help="add a benchmark's JSON")
    parser.add_argument("--show", type=Path, metavar="FILE", help="only write the page of a stored run")
    parser.add_argument("--fill", nargs="?", const="", metavar="FILE", help="only fill the marked blocks")
    parser.add_argument("--list", action="store_true", help="only list what would run")
    options = parser.parse_args()
    if unknown := set(options.names) - REGISTRY.keys():
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(REGISTRY)}")
    if options.show and not options.show.is_file():
        parser.error(f"{options.show} does not exist")
    try:
        options.included = _included(options.include)  # before hours of measuring
    except ValueError as error:
        parser.error(str(error))
    return options


if __name__ == "__main__":
    sys.exit(main())
