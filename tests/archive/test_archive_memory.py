"""A long recording goes through all stages without ever being in memory."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from command_line import run_command
from steno.audio.decode import decode
from steno.types import SAMPLE_RATE

ENVIRONMENT = {**os.environ, "ASR_BACKEND": "scripted", "MODEL_ID": "scripted@1ms"}
MEASURED = """
import resource, sys
from steno.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak_mb(folder: Path) -> int:
    command = [sys.executable, "-c", MEASURED, "archive", "run", "-q", "-a", str(folder)]
    return int(subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_four_hours_take_little_more_memory_than_ten_minutes(fixtures: Path, tmp_path: Path) -> None:
    speech = np.concatenate([*decode(fixtures / "weather.flac", max_seconds=None), np.zeros(SAMPLE_RATE, "f4")])
    block = (speech * 32767).astype("<i2").tobytes()
    peaks = []
    for name, seconds in (("short", 600), ("long", 4 * 3600)):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            for _ in range(round(seconds * SAMPLE_RATE / len(speech))):
                file.writeframes(block)
        added = run_command("archive", "add", tmp_path / f"{name}.wav", "-a", tmp_path / name, environment=ENVIRONMENT)
        assert added.returncode == 0
        peaks.append(peak_mb(tmp_path / name))
    short, long = peaks
    assert long - short < 60, "the text of four hours and its words; their audio has 900 MB"
