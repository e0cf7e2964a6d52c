"""The command `steno` with the scripted backend in place of `qwen`, in worker processes as well.

python -m benchmarks.gpu_parts.scripted_steno serve
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from steno.backends import registry

ROOT = Path(__file__).parent.parent.parent
MODULE = "benchmarks.gpu_parts.scripted_steno"
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m steno" ]; then shift 2; exec {python} -m {module} "$@"; fi
exec {python} "$@"
"""
"""Starts what steno starts: its own processes with the scripted backend, others as they are."""


def main() -> None:
    registry.SPECS = tuple(
        replace(spec, module="benchmarks.gpu_parts.scripted_backend") if spec.name == "qwen" else spec
        for spec in registry.SPECS
    )
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "python"
        python.write_text(PYTHON.format(python=sys.executable, module=MODULE), encoding="utf-8")
        python.chmod(0o700)
        sys.executable = str(python)
        from steno.cli.main import main as steno

        steno()


if __name__ == "__main__":
    main()
