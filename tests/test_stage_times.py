from __future__ import annotations

import subprocess
import sys
import time

import pytest

from steno.stage_times import StageTimes, stages_in


def test_seconds_of_a_stage_are_summed_and_reported_in_a_fixed_order() -> None:
    reported: list[tuple[str, float]] = []
    times = StageTimes(lambda stage, seconds: reported.append((stage, seconds)))
    times.add("recognize", 2.0)
    times.add_all({"match": 0.5, "recognize": 1.0, "decode": 0.25})
    assert list(times.seconds.items()) == [("decode", 0.25), ("recognize", 3.0), ("match", 0.5)]
    assert reported == [("recognize", 2.0), ("match", 0.5), ("recognize", 1.0), ("decode", 0.25)]


def test_a_stage_that_goes_on_counts_up_to_now_and_one_that_failed_counts_too() -> None:
    times = StageTimes()
    inside: list[float] = []

    def fail() -> None:
        with times.measure("write"):
            time.sleep(0.01)
            inside.append(times.seconds["write"])
            raise ValueError("no such line")

    with pytest.raises(ValueError, match="no such line"):
        fail()
    assert 0.01 <= inside[0] <= times.seconds["write"] <= times.total_s


def test_the_header_is_in_milliseconds_and_ends_with_the_total() -> None:
    times = StageTimes()
    times.add_all({"vad": 0.0125, "decode": 1.5})
    *stages, total = times.header().split(", ")
    assert stages == ["decode;dur=1500.0", "vad;dur=12.5"]
    name, _, milliseconds = total.partition(";dur=")
    assert name == "total"
    assert 0 <= float(milliseconds) <= times.total_s * 1000 + 0.1


def test_totals_in_json_are_no_stages() -> None:
    timings = {"decode": 1.0, "match": 2.0, "total": 4.0, "real_time_factor": 0.5, "peak_memory_mb": 90.0}
    assert stages_in(timings) == {"decode": 1.0, "match": 2.0}


def test_the_peak_of_the_memory_stays_and_is_the_processs_own() -> None:
    code = """if True:
        from steno.stage_times import peak_memory_mb
        before = peak_memory_mb()
        held = bytearray(b"x") * (100 * 2**20)
        del held
        print(before, peak_memory_mb())"""
    held = bytearray(b"x") * (200 * 2**20)  # which a child would inherit, were it `ru_maxrss`
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    del held
    before, after = map(float, ended.stdout.split())
    assert before < 100
    assert 95 <= after - before <= 130
