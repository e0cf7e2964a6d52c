"""Uploads at five times a server's capacity, with live streams.

    python -m benchmarks.overload [--seconds 60] [--times 5] [--live 4] [--backend moonshine] [--quick]
        [--json out/overload.json]

Each upload is the sample. Capacity is measured first and last, by as many clients as keep the server busy; in between
run an open loop (clients arrive at random, at `--times` the capacity) and a closed loop (a fixed number of clients,
each with a new upload when one is served). A refused client retries after `Retry-After`, in the open loop once. Clients
have addresses of their own (127.x.y.z) and a connection per upload. Live streams run alone before, and during each
loop. Each loop has a server of its own.

The crowd, the live streams and a probe are three processes (`benchmarks/overloading`). The probe sends two new clients
per second from blocking sockets, at a higher priority if the system allows it, so that it times the server and not a
client's wait for a CPU.

- capacity_per_s: uploads served per second, with the live streams: the mean of before and after.
- goodput_open, goodput_closed: uploads served under overload, divided by the capacity. Target: at least 0.9.
- refusal_p50_ms, refusal_p95_ms: from opening the connection to the end of the 429, timed by the probe. Target for the
  p95: 50. crowd_refusal_p50_ms, crowd_refusal_p95_ms: the same, timed by the crowd, with its own delays.
- first_retry_open, first_retry_closed: share of refused clients that are admitted at their first retry. Target: at
  least 0.8.
- live_final_alone_p95_ms, live_final_p95_ms, live_final_ratio: lag of finals. Target for the ratio: 1.5.
- failures: responses that were neither a transcript nor a 429, and connections without a response. Target: 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import harness
from benchmarks.live import LIMITS, Heard, ms
from benchmarks.overloading.load import Load, Phase
from benchmarks.server import Server

TARGETS = {"refusal_p95_ms": 50.0, "live_final_ratio": 1.5, "failures": 0.0}
AT_LEAST = {"goodput_open": 0.9, "goodput_closed": 0.9, "first_retry_open": 0.8, "first_retry_closed": 0.8}
"""Targets from below: printed, and written beside the others."""
BUSY_CLIENTS = 8
"""Enough to keep the workers of a small machine busy, and few enough to be let in."""
QUEUE = 16
WARM_UP_S = 3.0
ARRIVE_S = 1.0
"""The closed loop's crowd comes within this time."""


def main() -> None:
    options = _options()
    report = harness.Report("overload", options)
    _measure(options, report)
    report.finish(TARGETS)
    for name, least in AT_LEAST.items():
        print(f"{name}: target at least {least:g}")


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each overload lasts")
    parser.add_argument("--times", type=float, default=5.0, help="the overload, by the capacity")
    parser.add_argument("--live", type=int, default=4, help="live streams beside")
    parser.add_argument("--backend", default="moonshine", help="the server's ASR_BACKEND")
    parser.add_argument("--model", help="the server's MODEL_ID")
    return parser.parse_args()


def _measure(options: argparse.Namespace, report: harness.Report) -> None:
    seconds = min(options.seconds, 5.0) if options.quick else options.seconds
    many = round(options.times * (BUSY_CLIENTS + QUEUE))
    with _fresh(options) as load:
        alone = load.talk(seconds)
        before = load.closed(BUSY_CLIENTS, seconds / 2)
    with _fresh(options) as load:
        opened = load.open(options.times * before.served / (seconds / 2), seconds)
    with _fresh(options) as load:
        closed = load.closed(many, seconds, over_s=ARRIVE_S)
    with _fresh(options) as load:
        after = load.closed(BUSY_CLIENTS, seconds / 2)
    capacity_per_s = (before.served + after.served) / seconds
    report.add("capacity_per_s", capacity_per_s)
    report.add("goodput_open", opened.served / seconds / capacity_per_s)
    report.add("goodput_closed", closed.served / seconds / capacity_per_s)
    report.add("first_retry_open", opened.first_retry)
    report.add("first_retry_closed", closed.first_retry)
    _report_refusals(report, (opened, closed))
    _report_live(report, alone, (opened, closed))
    report.add("failures", sum(phase.failures for phase in (before, opened, closed, after)))


@contextmanager
def _fresh(options: argparse.Namespace) -> Iterator[Load]:
    """Start a new server with model and VAD loaded: reservations for one phase's clients must not affect the next."""
    model = {"MODEL_ID": options.model} if options.model else {}
    with (
        Server(ASR_BACKEND=options.backend, MAX_QUEUE=str(QUEUE), **LIMITS, **model) as server,
        Load(server, options.live) as load,
    ):
        if load.closed(1, WARM_UP_S).failures:
            raise RuntimeError(f"the server does not answer:\n{server.log()}")
        yield load


def _report_refusals(report: harness.Report, phases: tuple[Phase, ...]) -> None:
    probed_s = [took_s for phase in phases for took_s in phase.probe.refusals_s]
    crowd_s = [took_s for phase in phases for took_s in phase.crowd.refusals_s]
    for prefix, took_s in (("", probed_s), ("crowd_", crowd_s)):
        report.add(f"{prefix}refusal_p50_ms", ms(took_s, 50))
        report.add(f"{prefix}refusal_p95_ms", ms(took_s, 95))
        report.add(f"{prefix}refusals", len(took_s))


def _report_live(report: harness.Report, alone: Heard, phases: tuple[Phase, ...]) -> None:
    beside_s = [lag_s for phase in phases for lag_s in phase.heard.final_lags_s]
    report.add("live_final_alone_p95_ms", ms(alone.final_lags_s, 95))
    report.add("live_final_p95_ms", ms(beside_s, 95))
    report.add("live_final_ratio", ms(beside_s, 95) / ms(alone.final_lags_s, 95))


if __name__ == "__main__":
    main()
