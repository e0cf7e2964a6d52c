"""What is measured of steno and of each peer, and a run in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import wave
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
RUN_S = 900.0


@dataclass(frozen=True)
class Plan:
    """One run."""

    model: str
    """The checkpoint in the layout that this peer reads."""
    wav: str
    tokens: int
    """Bound of the text: random weights never end it."""
    threads: int
    way: str = ""
    """How it computes, where there is a choice."""


@dataclass(frozen=True)
class Parts:
    """Milliseconds of one run; None where a peer does not tell."""

    first_token: float
    """Features, encoder and prefill."""
    decode: float
    """One decoding step: one token."""
    encoder: float | None = None
    prefill: float | None = None

    def clip(self, tokens: int) -> float:
        """Of `tokens` tokens: the first comes with the prefill."""
        return self.first_token + (tokens - 1) * self.decode


class PeerError(Exception):
    """A peer did not run."""


def run_module(python: Path, module: str, plan: Plan) -> Parts:
    """Run a program of this package, which prints its parts as JSON in its last line."""
    done = subprocess.run(
        [str(python), "-m", f"benchmarks.peering.{module}", json.dumps(asdict(plan))],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=RUN_S,
        env=environment(plan.threads),
        check=False,
    )
    if done.returncode:
        raise PeerError(f"{module} failed:\n{done.stderr[-3000:]}")
    return Parts(**json.loads(done.stdout.splitlines()[-1]))


def environment(threads: int) -> dict[str, str]:
    """With so many threads in every library for matrices."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads)), "HF_HUB_OFFLINE": "1"}


def read_wav(file: str) -> bytes:
    """The samples of a recording of 16 kHz, mono, 16 bits."""
    with wave.open(file) as recording:
        frames: bytes = recording.readframes(recording.getnframes())
        return frames


def given(argument: str) -> Plan:
    return Plan(**json.loads(argument))


def tell(parts: Parts) -> None:
    print(json.dumps(asdict(parts)), flush=True)
