import pytest

from steno.alignment.drift import drift_of


def test_a_steady_offset_is_no_drift() -> None:
    drift = drift_of([(10.0 * n, 0.05) for n in range(20)])
    assert drift is not None
    assert (drift.lines, drift.median_ms, drift.ms_per_min) == (20, pytest.approx(50), pytest.approx(0))
    assert not drift.is_large


def test_a_growing_offset_is_found_among_errors() -> None:
    offsets = [(10.0 * n, 0.001 * 10 * n + (3.0 if n % 7 == 3 else 0.0)) for n in range(60)]
    drift = drift_of(offsets)
    assert drift is not None
    assert drift.ms_per_min == pytest.approx(60, rel=0.05)
    assert drift.total_ms == pytest.approx(590, rel=0.05)
    assert drift.is_large


def test_few_lines_say_nothing_and_many_are_sampled() -> None:
    assert drift_of([(1.0, 0.0), (2.0, 0.1)]) is None
    drift = drift_of([(float(n), 0.0) for n in range(5000)])
    assert drift is not None
    assert drift.lines == 5000
