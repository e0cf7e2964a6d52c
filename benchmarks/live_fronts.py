"""`benchmarks.live --fronts N`: how many streams fit with N fronts, and with one, and what was the bound."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

from benchmarks import harness
from benchmarks.live import LIMITS, load, ms
from benchmarks.server import Server

FULL = 0.85
"""A process that uses so much of a core, or processes that use so much of all cores, are the bound."""


@dataclass(frozen=True)
class Try:
    """One number of streams, and how busy what was meanwhile: in cores."""

    fronts: int
    streams: int
    lag_ms: float
    late: float
    front: float
    """The mean of the fronts."""
    busiest_front: float
    worker: float
    load: float
    machine: float
    """All processes, others' included."""
    spread: float
    """The busiest front's share of the fronts' work."""

    @property
    def bound(self) -> str:
        cores = os.cpu_count() or 1
        if self.machine >= FULL * cores:
            own = self.fronts * self.front + self.worker + self.load
            return f"the machine: {self.machine:.2f} of {cores} cores, {max(self.machine - own, 0):.2f} by other work"
        bounds = {"a front": self.busiest_front, "the worker": self.worker, "the load": self.load}
        name = max(bounds, key=lambda name: bounds[name])
        return f"{name}: {bounds[name]:.2f} of its core"


def compare(report: harness.Report, options: argparse.Namespace, seconds: float) -> None:
    """Search the most streams of one front, then of `options.fronts`; add both and their ratio to the report."""
    best = {}
    for fronts in (1, options.fronts):
        best[fronts], exceeded = _most(options, fronts, seconds)
        print(f"bound with {fronts}, at {exceeded.streams} streams: {exceeded.bound}", flush=True)
    one, many = best[1], best[options.fronts]
    for fronts, found in best.items():
        name = f"{fronts}_front{'s' if fronts > 1 else ''}"
        report.add(f"max_streams_{name}", found.streams)
        for what in ("front", "worker", "load"):
            report.add(f"busy_{what}_{name}", getattr(found, what))
        report.add(f"front_ms_per_100ms_audio_{name}", 100 * fronts * found.front / found.streams)
    report.add("fronts_gain", many.streams / max(one.streams, 1))
    report.add("front_spread", many.spread)


def _most(options: argparse.Namespace, fronts: int, seconds: float) -> tuple[Try, Try]:
    """The try with the most streams that kept the bound, and that with the fewest that did not: by doubling and then
    bisection."""
    best, exceeded, most = None, None, 0
    for doubled in itertools.count():
        least = best.streams if best is not None else 0
        asked = (least + most) // 2 if most else options.sessions * 2**doubled
        tried = _try(options, fronts, asked, seconds)
        print(f"{fronts} fronts, {asked} streams: p95 {tried.lag_ms:.0f} ms, {tried.late:.1%} late", flush=True)
        if tried.lag_ms <= options.bound_ms:
            best = tried
        else:
            most, exceeded = asked, tried
        least = best.streams if best is not None else 0
        if exceeded is not None and most - least <= max(least // 10, 1):
            return best or exceeded, exceeded
    raise AssertionError("unreachable")


def _try(options: argparse.Namespace, fronts: int, streams: int, seconds: float) -> Try:
    model = {"MODEL_ID": "scripted@1ms", "SPHINX_WORKERS": "64"} if options.backend == "scripted" else {}
    settings = {**LIMITS, **model, "ASR_BACKEND": options.backend, "FRONTS": str(fronts), "GATEWAY_MODE": "true"}
    with Server(**settings) as server:
        asyncio.run(load(server.url, options.say, fronts, 3.0))  # loads the model and the VAD
        own = psutil.Process()
        _pin(own, server, fronts)
        before, began, own_s, machine_s = _work_s(server), time.perf_counter(), _cpu_s(own), _machine_s()
        heard = asyncio.run(load(server.url, options.say, streams, seconds))
        wall_s = time.perf_counter() - began
        machine = (_machine_s() - machine_s) / wall_s
        after = _work_s(server)
        busy = {pid: (after[pid] - before.get(pid, 0.0)) / wall_s for pid in after}
        front_pids = _fronts(server, fronts)
    of_fronts = [busy.get(pid, 0.0) for pid in front_pids]
    return Try(
        fronts=fronts,
        streams=streams,
        lag_ms=ms(heard.partial_lags_s, 95),
        late=heard.late / max(heard.frames, 1),
        front=sum(of_fronts) / len(of_fronts),
        busiest_front=max(of_fronts),
        worker=sum(busy.values()) - sum(of_fronts),
        load=(_cpu_s(own) - own_s) / wall_s,
        machine=machine,
        spread=max(of_fronts) / max(sum(of_fronts), 1e-9),
    )


def _pin(own: psutil.Process, server: Server, fronts: int) -> None:
    """Give this process a core of its own, if each front and the worker have one as well."""
    cores = list(range(os.cpu_count() or 1))
    if len(cores) < fronts + 2 or not hasattr(own, "cpu_affinity"):
        return
    own.cpu_affinity(cores[:1])
    for process in _processes(server):
        process.cpu_affinity(cores[1:])


def _fronts(server: Server, fronts: int) -> list[int]:
    if fronts == 1:
        return [server.process.pid]
    return [each.pid for each in server.process.children() if "serve_front" in each.cmdline()]


def _processes(server: Server) -> Iterable[psutil.Process]:
    return [server.process, *server.process.children(recursive=True)]


def _work_s(server: Server) -> Mapping[int, float]:
    return {each.pid: _cpu_s(each) for each in _processes(server)}


def _machine_s() -> float:
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
