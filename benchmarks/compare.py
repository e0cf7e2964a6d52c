"""Whether a commit is slower than another: paired, interleaved runs of both on this machine.

    python -m benchmarks.compare OLD NEW [--figures captions vad] [--threshold 0.10] [--minutes 15] [--json FILE]
    python -m benchmarks.compare --baseline                  # HEAD against the commit in benchmarks/results/baseline
    python -m benchmarks.compare --self-test                 # is a planted slowdown of 20 % found?

Both commits are checked out as git worktrees in a temporary folder and run by this Python with its packages, each on
its own `src`; the workloads are NEW's for both. A figure is CPU seconds:

- captions: cues and SRT for two hours of English words.
- vad: 200 batches of 32 frames.
- live_step: 50 live steps of one utterance of 24 s on the tiny Qwen3-ASR checkpoint.
- live_streams: the server with 200 streams of 3 s and the scripted recogniser.
- start: `steno serve` until `/health` answers.

A pair is two fresh processes that measure in turn, in random order. Pairs are added until the 99 % interval of the
median ratio is within `--width`, or the time is up. NEW is slower (or faster) if the interval excludes 1, else it is
unknown; a regression if the whole interval is beyond `--threshold`. What needs an interface that OLD lacks is unknown.

Exit code: 0 without a regression, 1 with one (or a wrong verdict of the self-test), 2 for misuse, a workload that
cannot run or a figure with too few pairs, 130 for Ctrl-C, after a table of what there is.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.comparing.comparison import HEAD, Comparison, Limits
from benchmarks.comparing.planted import PLANTS, self_test
from benchmarks.comparing.trees import ROOT, UnknownCommitError, commit_of, different_dependencies, worktrees
from benchmarks.comparing.workloads import FIGURES

BASELINE = ROOT / "benchmarks" / "results" / "baseline"
REGRESSION, MISUSE, INTERRUPTED = 1, 2, 130


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: worktrees and processes are cleaned up
    limits = Limits(options.width, options.threshold, 60 * options.minutes)
    try:
        if options.self_test:
            figures = options.figures or [*PLANTS]
            is_right = self_test(commit_of("HEAD"), limits, options.runs, figures, options.seed)
            return 0 if is_right else REGRESSION
        old, new = (commit_of(name) for name in options.commits)
        return _compare(old, new, limits, options)
    except (UnknownCommitError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return MISUSE
    except KeyboardInterrupt:
        return INTERRUPTED


def _compare(old_commit: str, new_commit: str, limits: Limits, options: argparse.Namespace) -> int:
    with worktrees(old_commit, new_commit) as (old, new):
        comparison = Comparison(old, new, options.figures or [*FIGURES], limits, random.Random(options.seed))
        print(f"OLD {old.commit[:9]}, NEW {new.commit[:9]}; the workloads are {comparison.code}")
        if lines := different_dependencies(old, new):
            print("the dependencies differ; both run with the packages that are installed here:", *lines, sep="\n  ")
        try:
            comparison.run()
        finally:
            print(f"\n{HEAD}", *map(comparison.line, comparison.figures), sep="\n")
            if options.json:
                _write(options.json, comparison)
    if comparison.regressions:
        print(f"regressions beyond {100 * limits.threshold:g} %: {', '.join(comparison.regressions)}")
        return REGRESSION
    if comparison.unmeasured:
        print(f"not measured: {', '.join(comparison.unmeasured)}; give it more --minutes")
    return MISUSE if comparison.failures or comparison.unmeasured else 0


def _write(file: Path, comparison: Comparison) -> None:
    document: dict[str, Any] = {
        "old": comparison.old.commit,
        "new": comparison.new.commit,
        "machine": harness.machine(),
        "versions": harness.versions(),
        "figures": {
            name: {"old_s": pairs.old_s, "new_s": pairs.new_s, "lacks": pairs.lacks, "line": comparison.line(name)}
            for name, pairs in comparison.pairs.items()
        },
        "regressions": comparison.regressions,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commits", nargs="*", metavar="OLD NEW", help="what git knows them by")
    parser.add_argument("--baseline", action="store_true", help="OLD is the stored baseline, NEW is HEAD")
    parser.add_argument("--self-test", action="store_true", help="planted slowdowns and unchanged commits, in turn")
    parser.add_argument("--runs", type=int, default=5, help="of each kind, for --self-test")
    parser.add_argument("--figures", nargs="+", choices=[*FIGURES], help="which to compare (all)")
    parser.add_argument("--threshold", type=float, default=Limits.threshold, help="a regression is this much slower")
    parser.add_argument("--width", type=float, default=Limits.width, help="half of the interval's width that is enough")
    parser.add_argument("--minutes", type=float, default=Limits.seconds / 60, help="max time of one comparison")
    parser.add_argument("--seed", type=int, default=0, help="of the order of measurements")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements here")
    options = parser.parse_args()
    if options.baseline and not options.commits:
        if not BASELINE.is_file():
            parser.error(f"{BASELINE} is missing: write a commit into it")
        options.commits = [BASELINE.read_text(encoding="utf-8").strip(), "HEAD"]
    if not options.self_test and len(options.commits) != 2:
        parser.error("two commits are needed, OLD and NEW, or --baseline")
    if options.self_test and not set(options.figures or PLANTS) <= PLANTS.keys():
        parser.error(f"--self-test plants slowdowns in {', '.join(PLANTS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
