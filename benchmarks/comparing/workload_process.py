"""The process of one workload on one commit's sources: a line in, a measurement out.

    PYTHONPATH=TREE/src python -m benchmarks.comparing.workload_process captions

Prints `{"source": …}` with the folder of the steno that it imported once it is ready; then, for each line on standard
input, `{"cpu_s": …}`. What the commit lacks ends it with `{"lacks": …}`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks.comparing.workloads import FIGURES


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not be read as an answer
    figure = FIGURES[sys.argv[1]]
    try:
        import steno

        with figure.workload() as measure:
            measure()
            answers.write(json.dumps({"source": str(Path(steno.__file__).parent.parent)}) + "\n")
            for _ in sys.stdin:
                answers.write(json.dumps({"cpu_s": measure()}) + "\n")
    except (ImportError, AttributeError, TypeError) as error:
        answers.write(json.dumps({"lacks": f"{type(error).__name__}: {error}"}) + "\n")
        raise


if __name__ == "__main__":
    main()
