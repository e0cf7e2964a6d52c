from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from steno.vad.speech_gate import SpeechGate


def decisions(*probabilities: float, min_frames: int = 2) -> str:
    gate = SpeechGate(0.5, 0.35, min_frames)
    decided = [flag for p in probabilities for flag in gate.feed(p)] + gate.flush()
    return "".join("#" if flag else "." for flag in decided)


def test_speech_begins_at_the_threshold_and_ends_below_the_release() -> None:
    assert decisions(0.4, 0.5, 0.4, 0.35, 0.34, 0.4, 0.49) == ".###..."


def test_a_click_is_no_speech() -> None:
    assert decisions(0, 0.9, 0, 0.9, 0.9, 0) == "...##."
    assert decisions(0, 0.9, min_frames=3) == ".."


def test_a_run_may_sink_below_the_threshold_while_it_is_weighed() -> None:
    assert decisions(0.6, 0.4, 0.4, 0.1, min_frames=3) == "###."
    assert decisions(0.6, 0.3, 0.6, 0.1, min_frames=2) == "...."


@given(st.lists(st.floats(0, 1)), st.integers(1, 5))
def test_every_frame_is_decided_once_and_no_run_is_too_short(probabilities: list[float], min_frames: int) -> None:
    decided = decisions(*probabilities, min_frames=min_frames)
    assert len(decided) == len(probabilities)
    assert all(len(run) >= min_frames for run in decided.split(".") if run)
