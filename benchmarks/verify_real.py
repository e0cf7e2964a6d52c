"""Verifies a real Qwen3-ASR on this machine: tokens, text, word times, speed, memory.

    python -m benchmarks.verify_real --model Qwen/Qwen3-ASR-0.6B [--aligner Qwen/Qwen3-ForcedAligner-0.6B]
        [--audio FOLDER] [--device cuda] [--dtype bfloat16] [--quick] [--json out/verify.json]

A reference is a text file beside a recording (`x.txt` beside `x.mp3`), or an entry in a `clips.json` or
`transcripts.json`: {"x": {"text": …, "language": "en", "words": [[word, start_s, end_s], …]}} or {"x.mp3": text}.
Without a folder, this repository's recordings are used. The whole folder is kept in memory: 0.5 GB per hour.

- audio: recordings can be read.
- load: layout, parameters, dtype, device, seconds, memory.
- parity: the tokens of transformers' `generate`, alone and in a batch, in fp32 where that fits.
- text: word error rate, or character error rate for scripts without spaces; case and punctuation do not count.
- aligner: word times in order, inside the audio, with a length, at the pace of speech; their mean error.
- nothing: silence and noise give no text.
- speed: seconds per second of audio, tokens per second, ours and `generate`'s.
- unload: the share of the weights' memory that is returned.

Exits with 0 if nothing failed. `--json` also writes a Markdown file beside it.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from loguru import logger
from transformers.utils import logging as transformers_logging

from benchmarks import harness
from benchmarks.verification import aligning, checks, material, memory
from benchmarks.verification.checks import File
from benchmarks.verification.material import Clip
from benchmarks.verification.ours import Aligner, Recogniser
from benchmarks.verification.outcome import Check, attempted, judged, line, passed, skipped, write_markdown
from steno.backends.qwen.checkpoint.model_source import DEFAULT_MODEL
from steno.backends.qwen.engine_options import LoadOptions
from steno.backends.qwen.model.device import place
from steno.errors import ModelLoadError, StenoError

if TYPE_CHECKING:
    from steno.types import Audio

PARITY_PIECES = 12
QUICK_PIECES = 4
SPEED_S = {"cuda": 1200.0, "cpu": 120.0}
QUICK_S = 20.0


def main() -> None:
    options = parser().parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    began = time.time()
    verification = Verification(options)
    verification.run()
    if options.json:
        _write(options, verification, began)
    sys.exit(0 if passed(verification.found) else 1)


class Verification:
    """Runs every check, in order, and prints each result at once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.found: list[Check] = []
        self.files: list[File] = []
        self._options = options
        named = (options.model, options.aligner or "")
        self._model = LoadOptions(options.model, allowlist=named, device=options.device, dtype=options.dtype)

    def run(self) -> None:
        clips, unreadable = material.gather(self._options.audio)
        self._attempt("audio", lambda: _audio(clips, unreadable))
        if clips:
            self._check_recogniser(clips)
            self._check_aligner(clips)

    def _check_recogniser(self, clips: Sequence[Clip]) -> None:
        try:
            where = place(self._model.device, self._model.dtype)
            before = memory.of_model(where.device)
            ours = Recogniser(self._model, self._options.slots)
        except StenoError as error:
            self._add(Check("load", "fail", error.message))
            for name in ("parity", "text", "nothing", "speed", "unload"):
                self._add(skipped(name, "the model is not loaded"))
            return
        is_exact = where.dtype == torch.float32
        self._attempt("load", lambda: checks.load(ours, before))
        if is_exact:
            self._attempt("parity", lambda: checks.parity(ours, self._some(clips)))
        self._attempt("text", lambda: self._text(ours, clips))
        self._attempt("nothing", lambda: checks.nothing(ours))
        seconds = QUICK_S if self._options.quick else SPEED_S.get(where.device.type, 120.0)
        self._attempt("speed", lambda: checks.speed(ours, checks.spread(clips, seconds=seconds)))
        self._attempt("unload", lambda: checks.unload(ours, before))
        if not is_exact:
            self._attempt("parity", lambda: self._exact_parity(clips))

    def _exact_parity(self, clips: Sequence[Clip]) -> Check:
        """In fp32, which leaves rounding out of it; where that does not fit, as the model was loaded before."""
        try:
            ours = Recogniser(replace(self._model, dtype="float32"), self._options.slots)
        except ModelLoadError as error:
            print(f"      in fp32: {error.message}")
            ours = Recogniser(self._model, self._options.slots)
        try:
            return checks.parity(ours, self._some(clips))
        finally:
            ours.unload()

    def _text(self, ours: Recogniser, clips: Sequence[Clip]) -> Check:
        check, self.files = checks.text(ours, clips, self._options.max_error_rate)
        return check

    def _check_aligner(self, clips: Sequence[Clip]) -> None:
        if not self._options.aligner:
            self._add(skipped("aligner", "none is given: --aligner Qwen/Qwen3-ForcedAligner-0.6B"))
            return
        limit_s = self._options.max_time_error

        def check() -> Check:
            aligner = Aligner(replace(self._model, model_id=self._options.aligner))
            return aligning.check(aligner, clips, self.files, limit_s)

        self._attempt("aligner", check)

    def _some(self, clips: Sequence[Clip]) -> list[Audio]:
        return checks.spread(clips, QUICK_PIECES if self._options.quick else PARITY_PIECES)

    def _attempt(self, name: str, check: Callable[[], Check]) -> None:
        self._add(attempted(name, check))

    def _add(self, check: Check) -> None:
        self.found.append(check)
        print(line(check), flush=True)


def _audio(clips: Sequence[Clip], unreadable: dict[str, str]) -> Check:
    known = sum(clip.reference is not None for clip in clips)
    seconds = sum(clip.seconds for clip in clips)
    says = f"{len(clips)} recordings, {seconds:.0f} s, {known} with a reference"
    for name, why in unreadable.items():
        says += f"; {name}: {why}"
    return judged("audio", bool(clips) and not unreadable, says, files=len(clips), seconds=seconds, references=known)


def _write(options: argparse.Namespace, verification: Verification, began: float) -> None:
    document: dict[str, Any] = {
        "benchmark": "verify_real",
        "command": shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]]),
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "took_s": round(time.time() - began, 1),
        "model": options.model,
        "aligner": options.aligner,
        "passed": passed(verification.found),
        "checks": [asdict(check) for check in verification.found],
        "files": [asdict(file) for file in verification.files],
        "machine": {**harness.machine(), "gpu": _gpu()},
        "versions": {**harness.versions(), "torch": torch.__version__, "transformers": transformers.__version__},
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_markdown(options.json.with_suffix(".md"), document, verification.found)


def _gpu() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def parser() -> argparse.ArgumentParser:
    made = harness.parser(__doc__)
    made.add_argument("--model", default=DEFAULT_MODEL, help="a folder, or a name on Hugging Face")
    made.add_argument("--aligner", help="the same, of a forced aligner")
    made.add_argument("--audio", type=_folder, metavar="FOLDER", help="recordings; default: this repository's")
    made.add_argument("--device", default="auto", help="auto, cpu, mps, cuda or cuda:N")
    made.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    made.add_argument("--slots", type=int, help="pieces at once; default: as the server")
    made.add_argument("--max-error-rate", type=float, default=0.2, metavar="RATE", help="default: 0.2")
    made.add_argument("--max-time-error", type=float, default=0.2, metavar="SECONDS", help="of words; default: 0.2")
    return made


def _folder(given: str) -> Path:
    folder = Path(given)
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{given} is no folder")
    return folder


if __name__ == "__main__":
    main()
