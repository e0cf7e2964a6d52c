"""Stored jobs in words: lines and tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from steno.client import JobStatus

STEPS = {"recognize": "recognising", "align": "aligning", "translate": "translating", "fetch": "fetching"}
HEADINGS = ("ID", "STATE", "KIND", "RECORDING", "LENGTH", "SUBMITTED", "")
MAX_SOURCE = 40


def table_of(jobs: Sequence[JobStatus]) -> str:
    """A line per job, under headings."""
    rows = [HEADINGS, *(_row(job) for job in jobs)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEADINGS) - 1)]
    padded = [[*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in padded)


def note_of(job: JobStatus) -> str:
    """What a job is doing, for its progress bar."""
    if job.state != "running":
        return job.state
    parts = [STEPS.get(job.step or "", job.step or "starting")]
    parts += [f"real-time factor {job.real_time_factor:.2f}"] if job.real_time_factor is not None else []
    parts += [f"{clock(job.time_left_s)} left"] if job.time_left_s is not None else []
    return ", ".join(parts)


def outcome_of(job: JobStatus) -> str:
    """How a job has ended."""
    if job.state != "succeeded":
        return f"{job.state}: {job.problem}" if job.problem else job.state
    if job.started_at is None or job.finished_at is None or job.audio_s is None:
        return job.state
    took = f"{job.audio_s:.1f} s of audio in {job.finished_at - job.started_at:.1f} s"
    return f"{took}, real-time factor {job.real_time_factor:.2f}" if job.real_time_factor is not None else took


def clock(seconds: float) -> str:
    """`1:02:03` or `4:05`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _row(job: JobStatus) -> tuple[str, ...]:
    source = job.source if len(job.source) <= MAX_SOURCE else f"…{job.source[1 - MAX_SOURCE :]}"
    length = clock(job.audio_s) if job.audio_s is not None else ""
    submitted = datetime.fromtimestamp(job.created_at).strftime("%Y-%m-%d %H:%M")
    about = f"{job.progress:.0%} {note_of(job)}" if job.state == "running" else job.problem or ""
    return (job.id, job.state, job.kind, source, length, submitted, about)
