"""Many files in one run of `steno transcribe`, against one run per file.

    python -m benchmarks.batch [--quick] [--json out/batch.json]

- one_run_s: ten short recordings with the embedded recogniser, SRT and text, in one run.
- ten_runs_s: the same ten, one run after the other.
- one_run_over_ten_runs: their ratio, from the same round. Target: below 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import harness

SAMPLE = Path(__file__).parent.parent / "src" / "steno" / "sample.flac"
FILES = 10


def main() -> None:
    options = harness.parser(__doc__).parse_args()
    report = harness.Report("batch", options)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"talk{n}.flac" for n in range(FILES)]
        for file in files:
            shutil.copy(SAMPLE, file)
        for _ in range(1 if options.quick else 5):
            together = timed([files], Path(folder) / "out")
            apart = timed([[file] for file in files], Path(folder) / "out")
            report.add("one_run_s", together)
            report.add("ten_runs_s", apart)
            report.add("one_run_over_ten_runs", together / apart)
    report.finish({"one_run_over_ten_runs": 1.0})


def timed(runs: list[list[Path]], out: Path) -> float:
    command = [sys.executable, "-m", "steno", "transcribe", "-q", "--again", "-f", "srt,text", "-d", str(out)]
    began = time.perf_counter()
    for files in runs:
        subprocess.run([*command, *map(str, files)], check=True, env={**os.environ, "ASR_BACKEND": "sphinx"})
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
