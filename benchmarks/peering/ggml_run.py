"""transcribe.cpp on ggml, from GGUF: `bf16`, or `q8`, ggml's 8-bit blocks.

It tells the time of each part on stderr, and bounds its text itself, at 256 tokens.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

os.environ |= {"TRANSCRIBE_PERF_DEBUG": "1", "TRANSCRIBE_NO_REPETITION_GUARD": "1"}  # read by the library
import transcribe_cpp

from benchmarks.peering.gguf_weights import write_gguf
from benchmarks.peering.parts import Parts, PeerError, given, read_wav, tell

TOLD = re.compile(r"^\s*(mel|enc_build|enc_compute|enc_d2h|prefill_build|prefill_compute|prefill_logits)\s+([\d.]+) ms",
                  re.MULTILINE)  # fmt: skip
STEPS = re.compile(r"^\s*step_loop\s+[\d.]+ ms\s+\((\d+) steps, ([\d.]+) ms/step\)", re.MULTILINE)


def main() -> None:
    plan = given(sys.argv[1])
    folder = Path(plan.model)
    file = write_gguf(folder, folder / f"{plan.way}.gguf", plan.way)
    audio: Any = np.frombuffer(read_wav(plan.wav), "<i2").astype(np.float32) / 32768  # its types leave NumPy out
    # Mapped weights would be read from the file during the run.
    with (
        transcribe_cpp.Model(str(file), backend="cpu", no_mmap=True) as model,
        model.session(n_threads=plan.threads) as session,
        _Stderr() as told,
        suppress(transcribe_cpp.OutputTruncated),
    ):
        session.run(audio, language="en")
    tell(_parts(told.text))


def _parts(text: str) -> Parts:
    """Of the last run in `text`."""
    last = text[text.rfind("perf breakdown") :]
    ms = {name: float(value) for name, value in TOLD.findall(last)}
    steps = STEPS.search(last)
    if steps is None or int(steps[1]) < 2:
        raise PeerError(f"it told no times:\n{text[-2000:]}")
    encoder = ms["enc_build"] + ms["enc_compute"] + ms["enc_d2h"]
    prefill = ms["prefill_build"] + ms["prefill_compute"] + ms["prefill_logits"]
    return Parts(ms["mel"] + encoder + prefill, float(steps[2]), encoder, prefill)


class _Stderr:
    """What native code writes to stderr meanwhile."""

    text = ""

    def __enter__(self) -> _Stderr:
        sys.stderr.flush()
        self._kept = os.dup(2)
        self._file = tempfile.TemporaryFile()
        os.dup2(self._file.fileno(), 2)
        return self

    def __exit__(self, *_: object) -> None:
        os.dup2(self._kept, 2)
        os.close(self._kept)
        self._file.seek(0)
        self.text = self._file.read().decode(errors="replace")
        self._file.close()


if __name__ == "__main__":
    main()
