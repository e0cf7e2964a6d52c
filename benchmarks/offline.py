"""Recordings through Qwen3-ASR: steno's engine against transformers' `generate`, same clips, weights and dtype.

    python -m benchmarks.offline [--model tests/tiny/tiny-asr] [--quick] [--json out/offline.json]
    python -m benchmarks.offline --true-size [--clips 8]

Each way runs in a process of its own, several rounds; ratios are of medians. `--true-size` makes random weights of the
size of Qwen3-ASR-0.6B; they emit no end token, so each clip gets three tokens per second, as English speech has.

- speedup_over_batch1: time of `generate` on one clip at a time, divided by steno's. Target on the tiny model: 3.
- speedup_over_batched: time of `generate` on batches of similar lengths, divided by steno's. Target at true size: 1.
- steno_wer: word error rate of steno on the tiny checkpoint's own clips; case and punctuation do not count.
- same_text: share of clips with the same tokens in fp32. Target: 1.
- bf16_speedup, int8_speedup: time in fp32 divided by that in bf16 and with QUANTIZE=int8.
- int8_agreement, bf16_agreement: share of tokens that equal those in fp32, by position.
- real_time_factor: seconds per second of audio, by way. peak_mb: peak memory, by way.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jiwer

from benchmarks import harness

ROOT = Path(__file__).parent.parent
TINY = ROOT / "tests" / "tiny" / "tiny-asr"
CLIPS = ROOT / "tests" / "tiny" / "clips"
WAYS: dict[str, dict[str, Any]] = {
    "steno": {"way": "steno"},
    "one": {"way": "generate-one"},
    "batched": {"way": "generate-batched"},
    "bf16": {"way": "steno", "dtype": "bfloat16"},
    "int8": {"way": "steno", "int8": True},
}


def main() -> None:
    options = _options()
    report = harness.Report("offline", options)
    clips = _clips(options.clips or (8 if options.true_size else 48))
    audio_s = sum(_seconds(clip) for clip in clips)
    with tempfile.TemporaryDirectory() as folder:
        model = true_size(Path(folder)) if options.true_size else str(options.model)
        found = {name: _run(options, model, clips, way) for name, way in WAYS.items() if name in options.ways}
    for name, result in found.items():
        report.add(f"{name}_real_time_factor", statistics.median(result["seconds"]) / audio_s)
        report.add(f"{name}_peak_mb", result["peak_mb"])
    _compare(report, found)
    if not options.true_size:
        report.add("steno_wer", _wer(clips, found["steno"]["texts"]))
    report.finish()


def _compare(report: harness.Report, found: dict[str, Any]) -> None:
    seconds = {name: statistics.median(result["seconds"]) for name, result in found.items()}
    ours = found["steno"]["tokens"]
    for name, metric in (("one", "speedup_over_batch1"), ("batched", "speedup_over_batched")):
        if name in found:
            report.add(metric, seconds[name] / seconds["steno"])
            same = [a == b for a, b in zip(found[name]["tokens"], ours, strict=True)]
            report.add("same_text" if name == "one" else "same_text_batched", sum(same) / len(same))
    for name in ("bf16", "int8"):
        if name in found:
            report.add(f"{name}_speedup", seconds["steno"] / seconds[name])
            report.add(f"{name}_agreement", _agreement(found[name]["tokens"], ours))


def _wer(clips: list[Path], texts: list[str]) -> float:
    said = json.loads((CLIPS / "clips.json").read_text(encoding="utf-8"))
    return float(jiwer.wer([_plain(said[clip.stem]["text"]) for clip in clips], [_plain(text) for text in texts]))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[\w']+", text.lower()))


def _agreement(some: list[list[int]], others: list[list[int]]) -> float:
    pairs = [zip(one, other, strict=False) for one, other in zip(some, others, strict=True)]
    same = sum(a == b for pair in pairs for a, b in pair)
    return same / sum(max(len(one), len(other)) for one, other in zip(some, others, strict=True))


def _run(options: argparse.Namespace, model: str, clips: list[Path], way: dict[str, Any]) -> dict[str, Any]:
    plan = {
        "model": model,
        "clips": [str(clip) for clip in clips],
        "rounds": 1 if options.quick or options.true_size else 5,
        "batch": options.batch or (8 if options.true_size else 32),
        "threads": options.threads,
        "scripted": options.true_size,
        **way,
    }
    command = [sys.executable, "-m", "benchmarks.offline_run", json.dumps(plan)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{way}: {statistics.median(found['seconds']):.2f} s, {found['peak_mb']:.0f} MB", flush=True)
    return found


def _clips(count: int) -> list[Path]:
    single = [clip for clip in sorted(CLIPS.glob("*.flac")) if "talk" not in clip.name]
    talks = [CLIPS / "talk.flac"]
    chosen = [*single, *talks]
    return [chosen[n % len(chosen)] for n in range(count)]


def _seconds(clip: Path) -> float:
    import av

    with av.open(str(clip)) as container:
        return float(container.duration or 0) / 1_000_000


def true_size(folder: Path, size: str = "0.6B") -> str:
    """Write random weights of the size of Qwen3-ASR-`size`; returns the folder."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks.true_size", str(TINY), str(folder), "--size", size],
        check=True,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    return str(folder)


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--model", type=Path, default=TINY, help="a checkpoint in fp32 or bf16")
    parser.add_argument("--true-size", action="store_true", help="random weights of the size of Qwen3-ASR-0.6B")
    parser.add_argument("--clips", type=int, help="how many; default 48, or 8 of true size")
    parser.add_argument("--batch", type=int, help="slots, and generate's batches; default 32, or 8 of true size")
    parser.add_argument("--threads", type=int, default=1, help="of torch, for every way")
    parser.add_argument("--ways", nargs="+", choices=[*WAYS], default=[*WAYS], help="which to run; steno must be in it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
