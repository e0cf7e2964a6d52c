"""The benchmark of turn ends: what it says to the server, and a short run."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.turn_speech import PAUSE_S, TAIL_S, SpokenWord, TurnRecording
from steno.backends.moonshine import installed
from steno.types import SAMPLE_RATE

ROOT = Path(__file__).parent.parent.parent
WEATHER = [
    SpokenWord(text, start_s, end_s)
    for text, start_s, end_s in (
        ("The", 0.2, 0.34), ("weather", 0.34, 0.65), ("will", 0.65, 0.85), ("be", 0.85, 0.97), ("cold", 0.97, 1.34),
        ("and", 1.34, 1.48), ("clear", 1.48, 1.78), ("in", 1.78, 1.9), ("the", 1.9, 1.96), ("morning,", 1.96, 2.55),
        ("with", 2.55, 2.73), ("a", 2.73, 2.84), ("little", 2.84, 3.09), ("rain", 3.09, 3.36), ("in", 3.36, 3.46),
        ("the", 3.46, 3.59), ("afternoon.", 3.59, 4.21),
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def weather(fixtures: Path) -> TurnRecording:
    return TurnRecording(fixtures / "weather.flac", WEATHER)


def level(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(audio))))


def test_a_sentence_ends_where_it_is_no_longer_heard(weather: TurnRecording) -> None:
    (sentence,) = weather.sentences()
    assert sentence.text.endswith("in the afternoon.")
    assert 4.0 < sentence.end_s < 4.6
    end = round(sentence.end_s * SAMPLE_RATE)
    assert level(sentence.audio[end:]) < 0.05 * level(sentence.audio[end - SAMPLE_RATE : end])
    assert len(sentence.audio) / SAMPLE_RATE - sentence.end_s == pytest.approx(TAIL_S, abs=0.25)


def test_a_pause_is_put_between_two_words_and_takes_nothing_from_them(weather: TurnRecording) -> None:
    (whole,) = weather.sentences()
    speeches = list(weather.paused(3, random.Random(1)))
    assert len(speeches) == 3
    for speech in speeches:
        assert speech.pause_s is not None
        start_s, stop_s = speech.pause_s
        assert PAUSE_S[0] <= stop_s - start_s <= PAUSE_S[1]
        start, stop = round(start_s * SAMPLE_RATE), round(stop_s * SAMPLE_RATE)
        assert level(speech.audio[start:stop]) < 0.05 * level(speech.audio[stop : stop + SAMPLE_RATE])
        tail = len(speech.audio) - stop - round((TAIL_S + 0.5) * SAMPLE_RATE)  # without the last word's end
        assert np.array_equal(speech.audio[:start], whole.audio[:start])
        assert np.array_equal(
            speech.audio[stop:][:tail], whole.audio[len(whole.audio) - len(speech.audio) + stop :][:tail]
        )


def summary_of(module: str, folder: Path) -> dict[str, float]:
    """What a quick run of a benchmark reports."""
    report = folder / "report.json"
    command = [sys.executable, "-m", module, "--quick", "--json", str(report)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=200)
    summary: dict[str, float] = json.loads(report.read_text(encoding="utf-8"))["summary"]
    return summary


@pytest.mark.slow
@pytest.mark.skipif(installed.wheel_folder() is None, reason="needs Moonshine's wheel")
def test_it_runs_and_reports(tmp_path: Path) -> None:
    summary = summary_of("benchmarks.turns", tmp_path)
    assert 0 < summary["smart_median_ms"] < 5000
    assert 500 < summary["silence_median_ms"] < 5000
    assert summary["judgement_ms"] > 0


@pytest.mark.slow
@pytest.mark.skipif(installed.wheel_folder() is None, reason="needs Moonshine's wheel")
def test_judgements_without_a_server_are_reported(tmp_path: Path) -> None:
    summary = summary_of("benchmarks.turn_judgements", tmp_path)
    assert summary["ends"] >= 1
    assert 0 <= summary["words_end_80"] <= summary["words_end_40"] <= 1
