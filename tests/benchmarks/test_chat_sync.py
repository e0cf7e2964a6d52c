"""The benchmark of chat clocks: how it counts, and a short run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.chat_simulation import TrueClock
from benchmarks.chat_sync import StepCounts, count_steps, errors
from steno.archive.manifest import ChatClock, ClockSegment

ROOT = Path(__file__).parent.parent.parent
CLOCK = TrueClock([2000.0, 4000.0], [10.0, 40.0, 20.0], 0.0)
CHAT_S = np.arange(0, 7200, 1.0)


def found(*segments: tuple[float, float]) -> ChatClock:
    made = tuple(ClockSegment(start_s=start, offset_s=offset) for start, offset in segments)
    return ChatClock(segments=made, method="test")


def test_steps_of_another_size_or_at_another_place_are_missed_and_invented() -> None:
    assert count_steps(found((0, 10), (2050, 40), (3950, 20)), CLOCK, CHAT_S) == StepCounts(2, 0, 0)
    assert count_steps(found((0, 10), (2000, 44), (4000, 20)), CLOCK, CHAT_S) == StepCounts(2, 2, 2)
    assert count_steps(found((0, 10), (2100, 40)), CLOCK, CHAT_S) == StepCounts(2, 2, 1)
    assert count_steps(found((0, 10), (2100, 40)), CLOCK, CHAT_S[::10]) == StepCounts(2, 1, 0)


def test_errors_are_distances_from_the_true_offset() -> None:
    assert np.unique(errors(found((0, 10), (2000, 40), (4000, 21)), CLOCK)).tolist() == [0.0, 1.0]
    drifting = TrueClock([], [5.0], 200.0)
    assert errors(found((0, 5)), drifting)[-1] == pytest.approx(7190 * 200e-6)
    assert drifting.chat_s(1000.0) == pytest.approx((1000 - 5) / (1 + 200e-6))


@pytest.mark.slow
def test_clocks_are_found_and_other_chats_refused(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks.chat_sync", "--runs", "8", "--seed", "5", "--json", str(report)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=280)
    values = json.loads(report.read_text(encoding="utf-8"))["summary"]
    assert values["offset_median_error_s"] <= 1
    assert values["step_found"] >= 0.8
    assert (values["false_confidence"], values["refused"]) == (0, 0)
