"""Runs benchmarks one after the other, each as a process with a timeout; one that fails does not stop the rest."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.reporting.machine_noise import Noise, calibrate
from benchmarks.reporting.reported_benchmarks import ROOT, ReportedBenchmark, command, environment
from benchmarks.reporting.stored_run import StoredRun, entry

END_S = 20.0


class BenchmarkFailedError(Exception):
    """A benchmark that exited with an error, hung, or wrote no result."""


def run_all(run: StoredRun, benchmarks: Sequence[ReportedBenchmark], folder: Path, *, is_quick: bool) -> None:
    """Run each, and put what it measured, or why it did not, into `run`."""
    for n, benchmark in enumerate(benchmarks, 1):
        name, arguments = benchmark.name, benchmark.arguments(is_quick=is_quick)
        about = f"about {benchmark.quick_s:.0f} s" if is_quick else f"at most {benchmark.full_timeout_s / 60:.0f} min"
        print(f"[{n}/{len(benchmarks)}] {name} ({about}) … ", end="", flush=True)
        began = time.monotonic()
        before = calibrate()
        try:
            document = _run(benchmark, arguments, folder, is_quick=is_quick)
        except BenchmarkFailedError as error:
            run["failed"][name] = str(error)
            print(f"FAILED after {time.monotonic() - began:.0f} s", flush=True)
            continue
        noise = Noise.between(before, calibrate()).as_json()
        run["benchmarks"][name] = entry(command(name, arguments), document, noise)
        print(f"{time.monotonic() - began:.0f} s", flush=True)


def _run(benchmark: ReportedBenchmark, arguments: Sequence[str], folder: Path, *, is_quick: bool) -> dict[str, Any]:
    if missing := benchmark.missing():
        raise BenchmarkFailedError(f"not installed: {', '.join(missing)}")
    result = folder / f"{benchmark.name}.json"
    result.unlink(missing_ok=True)
    timeout_s = benchmark.timeout_s if is_quick else benchmark.full_timeout_s
    with (folder / f"{benchmark.name}.log").open("w+", encoding="utf-8") as log:
        code = _wait(
            [sys.executable, "-m", f"benchmarks.{benchmark.name}", *arguments, "--json", str(result)], log, timeout_s
        )
        log.seek(0)
        said = log.read().replace(f"{ROOT}/", "")
    if code is None:
        raise BenchmarkFailedError(f"killed after {timeout_s:.0f} s")
    if code != 0:
        raise BenchmarkFailedError(f"exit code {code}: {' · '.join(said.splitlines()[-3:])}")
    try:
        document: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchmarkFailedError(f"it wrote no result: {error}") from error
    return document


def _wait(arguments: Sequence[str], log: Any, timeout_s: float) -> int | None:
    """The exit code, or None after the timeout. What it started ends with it, also on Ctrl-C."""
    process = subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment(),
        start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C for the whole group, then a kill: servers that a benchmark started must not stay."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(END_S)
