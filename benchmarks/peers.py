"""steno's engine against what else runs Qwen3-ASR on a CPU: same weights, clip and threads, one clip at a time.

    python -m benchmarks.peers --c-binary qwen-asr/qwen_asr --ggml-python ggml/bin/python --json out/peers.json
    python -m benchmarks.peers --qwen-asr-python qwen-asr-venv/bin/python --vllm-python .venv-vllm/bin/python
    python -m benchmarks.peers --model tests/tiny/tiny-asr --quick

Each peer is measured where it is given, each run in a process of its own; loading is not measured. Rounds are
interleaved, so that other work of the machine meets all alike. The weights are random, of the size of Qwen3-ASR-0.6B
(or `--model`; peers need Qwen3-ASR's vocabulary), and never end a text: all are bound to the same number of tokens,
three per second.

- `--c-binary`: a program with the command line of `antirez/qwen-asr`, built with OpenBLAS. Weights in bf16.
- `--ggml-python`: the Python of an environment with `transcribe-cpp` and `gguf`: bf16, and ggml's 8-bit blocks.
- `--qwen-asr-python`: of one with `qwen-asr`, on transformers.
- `--vllm-python`: of one with vLLM for CPUs and steno, as `make .venv-vllm/.installed` makes. It tells no parts.

The summary has milliseconds by way and part (`int8_decode_ms`), the shortest ones
(`int8_decode_best_ms`), and medians of the ratios within each round:

- decode_c_over_steno: one token of the peer, divided by steno's first way of --ways, which is the fastest by default.
  decode_c_over_fp32: by another way. Goal against C: 1.5.
- encoder_…, prefill_…: of the whole clip. Goals against C: 4 and 6.
- first_token_…: features, encoder and prefill. clip_…: until the last token.
- …_best_over_steno: ratios of the shortest times. On a machine with other work they say more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import wave
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from benchmarks import harness
from benchmarks.offline import CLIPS, true_size
from benchmarks.peering.c_binary import run_binary
from benchmarks.peering.original_weights import write_original
from benchmarks.peering.parts import Parts, Plan, run_module
from steno.audio.decode import decode
from steno.types import SAMPLE_RATE

Round: TypeAlias = dict[str, dict[str, float]]
"""Milliseconds of each part, by what was measured."""

TOKENS_PER_S = 3
STENO_WAYS = ("int8", "fp32", "bf16")
SECONDS, QUICK_SECONDS = 11.0, 2.0


def main() -> None:
    options = _options()
    report = harness.Report("peers", options)
    seconds = QUICK_SECONDS if options.quick else options.seconds
    tokens = round(TOKENS_PER_S * seconds)
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory() as folder:
        ways = _ways(options, Path(folder), seconds, tokens)
        for _ in range(1 if options.quick else options.rounds):
            rounds.append({})
            for name, run in ways.items():
                rounds[-1][name] = _milliseconds(run(), tokens)
                print(name, {part: round(ms, 1) for part, ms in rounds[-1][name].items()}, flush=True)
            _compare(report, rounds[-1], options.ways)
            report.save()
    _compare_best(report, rounds, options.ways)
    report.add("threads", options.threads)
    report.finish()


def _ways(options: argparse.Namespace, folder: Path, seconds: float, tokens: int) -> dict[str, Callable[[], Parts]]:
    """What is measured, by name."""
    native = options.model or Path(true_size(folder / "native"))
    original = folder / "original"
    if options.c_binary or options.ggml_python or options.qwen_asr_python:
        write_original(native, original)
    wav = _write_clip(folder / "clip.wav", seconds)
    plan = partial(Plan, wav=str(wav), tokens=tokens, threads=options.threads)
    ways: dict[str, Callable[[], Parts]] = {
        way: partial(run_module, Path(sys.executable), "steno_run", plan(str(native), way=way)) for way in options.ways
    }
    if options.c_binary:
        ways["c"] = partial(run_binary, options.c_binary, plan(str(original)))
    if python := options.ggml_python:
        ways["ggml_q8"] = partial(run_module, python, "ggml_run", plan(str(original), way="q8"))
        ways["ggml_bf16"] = partial(run_module, python, "ggml_run", plan(str(original), way="bf16"))
    if python := options.qwen_asr_python:
        ways["qwen_asr"] = partial(run_module, python, "qwen_asr_run", plan(str(original), way=options.peer_dtype))
    if python := options.vllm_python:
        ways["vllm"] = partial(run_module, python, "vllm_run", plan(str(native), way=options.peer_dtype))
    return ways


def _milliseconds(parts: Parts, tokens: int) -> dict[str, float]:
    """Of each part that is known, and of the whole clip."""
    found = {part: getattr(parts, part) for part in ("encoder", "prefill", "first_token", "decode")}
    return {part: ms for part, ms in found.items() if ms is not None} | {"clip": parts.clip(tokens)}


def _compare(report: harness.Report, measured: Round, own: list[str]) -> None:
    """Add the times of one round and their ratios, so that a ratio is of runs that follow each other."""
    for name, ms_of in measured.items():
        for part, ms in ms_of.items():
            report.add(f"{name}_{part}_ms", ms)
            if name not in own:
                report.add(f"{part}_{name}_over_steno", ms / measured[own[0]][part])
                for way in own[1:]:
                    report.add(f"{part}_{name}_over_{way}", ms / measured[way][part])


def _compare_best(report: harness.Report, rounds: list[Round], own: list[str]) -> None:
    """Add the ratios of the shortest times: beside other work they are nearest to what the programs take alone."""
    best = {name: {part: min(each[name][part] for each in rounds) for part in rounds[0][name]} for name in rounds[0]}
    for name, ms_of in best.items():
        for part, ms in ms_of.items():
            report.add(f"{name}_{part}_best_ms", ms)
            if name not in own:
                report.add(f"{part}_{name}_best_over_steno", ms / best[own[0]][part])


def _write_clip(file: Path, seconds: float) -> Path:
    """A talk, repeated if it is shorter."""
    talk = np.concatenate(list(decode(CLIPS / "talk.flac", max_seconds=None)))
    audio = np.resize(talk, round(seconds * SAMPLE_RATE))
    with wave.open(str(file), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(SAMPLE_RATE)
        recording.writeframes((32767 * audio).astype("<i2").tobytes())
    return file


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--model", type=Path, help="a native checkpoint; by default random weights of 0.6B's size")
    parser.add_argument("--ways", nargs="+", choices=STENO_WAYS, default=[*STENO_WAYS], help="steno's; first = default")
    parser.add_argument("--c-binary", type=Path, metavar="PATH", help="a program like antirez/qwen-asr")
    parser.add_argument("--ggml-python", type=Path, metavar="PATH", help="has transcribe-cpp and gguf")
    parser.add_argument("--qwen-asr-python", type=Path, metavar="PATH", help="has qwen-asr")
    parser.add_argument("--vllm-python", type=Path, metavar="PATH", help="has vLLM and steno")
    parser.add_argument("--peer-dtype", choices=["fp32", "bf16"], default="fp32", help="of qwen-asr and vLLM")
    parser.add_argument("--threads", type=int, default=1, help="of every way")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of the clip")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
