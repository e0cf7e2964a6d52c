from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_loading_the_vad_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    code = (
        "from steno.vad.silero import BatchedVad, SileroVad; from steno.turn_detection.smart_turn import SmartTurn; "
        "SileroVad(); BatchedVad(); SmartTurn()"
    )
    subprocess.run([sys.executable, "-c", code], env={**environment, "HOME": str(tmp_path)}, check=True, timeout=90)
    assert list(tmp_path.rglob("*")) == []
