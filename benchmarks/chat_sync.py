"""Does the clock of a chat come out right, and is the chat of another recording refused?

    python -m benchmarks.chat_sync [--quick] [--runs 50] [--quotes 0.25] [--json out/chat_sync.json]

Each run simulates a recording of two hours and its chat (`benchmarks.chat_simulation`), on a clock with an offset of
-90 to +90 s, a drift of up to 200 ppm and one to three steps of 4 to 60 s. It is not audio: activity, loudness and
words with times are what the estimator gets from a transcribed recording, and they are simulated.

- offset_median_error_s: of each run, the median distance from the true offset, every ten seconds. Target: 1.
- offset_p95_error_s: the same, the 95th percentile. It includes what is between a step and where it was found.
- step_found: share of true steps with a found one of the same size to 3 s, within 60 s or 40 messages: nothing shows
  a step while nobody writes, and silences last up to 5 minutes. Target: at least 0.95, so step_missed at most 0.05.
- step_invented: steps found that are none, for each run.
- false_confidence: share of runs in which the chat of another recording of the same channel, with the same
  vocabulary, was accepted. Target: 0.02.
- refused: share of runs in which the right chat was refused.
- seconds_per_hour: time of an estimate for each hour of recording. Target: 2.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import harness
from benchmarks.chat_simulation import (
    FRAME_S,
    Language,
    SimulatedRecording,
    TrueClock,
    simulate_chat,
    simulate_clock,
    simulate_recording,
)
from steno.archive.chat.clock_estimate import estimate_clock
from steno.archive.chat.recording_track import RecordingTrack
from steno.archive.manifest import ChatClock

TARGETS = {"offset_median_error_s": 1.0, "step_missed": 0.05, "false_confidence": 0.02, "seconds_per_hour": 2.0}
DURATION_S = 7200.0
STEP_PLACE_S, STEP_MESSAGES, STEP_SIZE_S = 60.0, 40, 3.0
SHARES = ("step_found", "step_missed", "false_confidence", "refused", "step_invented")
"""Means over the runs, or over all steps; the rest are medians."""


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Steps of a run."""

    true: int
    missed: int
    invented: int


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=20_000)
    parser.add_argument("--quotes", type=float, default=0.25, help="share of reactions with a word of what was said")
    options = parser.parse_args()
    report = harness.Report("chat_sync", options)
    shares: dict[str, list[float]] = {name: [] for name in SHARES}
    missed, steps = 0, 0
    for run in range(6 if options.quick else options.runs):
        counts = one_run(np.random.default_rng([options.seed, run]), options.quotes, report, shares)
        missed, steps = missed + counts.missed, steps + counts.true
    shares["step_missed"] = [missed / steps]
    shares["step_found"] = [1 - missed / steps]
    for name, values in shares.items():
        report.add(name, float(np.mean(values)))
    report.finish(TARGETS)


def one_run(
    random: np.random.Generator, quotes: float, report: harness.Report, shares: dict[str, list[float]]
) -> StepCounts:
    language = Language.made(random)
    recording, other = (simulate_recording(language, random, DURATION_S) for _ in range(2))
    clock = simulate_clock(random, DURATION_S)
    chat = simulate_chat(recording, language, clock, random, quotes)
    began = time.perf_counter()
    found = estimate_clock(chat, track_of(recording)).clock
    report.add("seconds_per_hour", (time.perf_counter() - began) / (DURATION_S / 3600))
    stranger = estimate_clock(chat, track_of(other)).clock
    report.add("messages", len(chat))
    report.add("confidence", found.confidence)
    report.add("confidence_of_another", stranger.confidence)
    shares["false_confidence"].append(float(bool(stranger.segments)))
    shares["refused"].append(float(not found.segments))
    if not found.segments:
        shares["step_invented"].append(0.0)
        return StepCounts(len(clock.steps_s), len(clock.steps_s), 0)
    error = errors(found, clock)
    report.add("offset_median_error_s", float(np.median(error)))
    report.add("offset_p95_error_s", float(np.quantile(error, 0.95)))
    counts = count_steps(found, clock, np.array([message.time_s for message in chat]))
    shares["step_invented"].append(float(counts.invented))
    return counts


def track_of(recording: SimulatedRecording) -> RecordingTrack:
    return RecordingTrack(
        recording.duration_s, FRAME_S, recording.activity, recording.loudness_db, recording.words, language=None
    )


def errors(found: ChatClock, clock: TrueClock) -> NDArray[np.float64]:
    moments = np.arange(0.0, DURATION_S, 10.0)
    placed = np.array([found.recording_s(float(moment)) for moment in moments], dtype=np.float64)
    return np.abs(placed - moments - clock.offset_s(moments))


def count_steps(found: ChatClock, clock: TrueClock, chat_s: NDArray[np.float64]) -> StepCounts:
    """A step may be found late or early where nobody writes, so messages count as well as seconds."""
    free = list(range(1, len(found.segments)))
    missed = 0
    for at, place in enumerate(clock.steps_s):
        size = clock.offsets_s[at + 1] - clock.offsets_s[at]
        near = [step for step in free if is_found(found, step, place, size, chat_s)]
        if near:
            free.remove(near[0])
        else:
            missed += 1
    return StepCounts(len(clock.steps_s), missed, len(free))


def is_found(found: ChatClock, step: int, place: float, size: float, chat_s: NDArray[np.float64]) -> bool:
    before, after = found.segments[step - 1], found.segments[step]
    end_of_before = before.offset_s + (after.start_s - before.start_s) * before.drift_ppm * 1e-6
    low, high = sorted((place, after.start_s))
    between = int(np.count_nonzero((chat_s > low) & (chat_s < high)))
    near = high - low <= STEP_PLACE_S or between <= STEP_MESSAGES
    return near and abs(after.offset_s - end_of_before - size) <= STEP_SIZE_S


if __name__ == "__main__":
    main()
