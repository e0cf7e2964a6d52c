"""The audio encoder of Qwen3-ASR on torch and on ONNX Runtime, in fp32 and int8, on a CPU.

    python -m benchmarks.encoder [--size 0.6B | --model FOLDER] [--threads 1] [--json out/encoder.json]

`--size` makes random weights of that size. All encoders are in one process and take turns, so that noise of the
machine meets all of them; ratios are medians of each round's ratio.

- clip: 11 s of audio, 143 tokens: 11 chunks and two windows. step: a live step, whose newest second is convolved and
  whose open window of 3 s is attended to.
- onnx_over_torch_encoder: time of ONNX Runtime divided by torch's, both fp32, clip. Below 1, ONNX Runtime is faster.
- onnx_int8_over_torch_int8_encoder: the same in int8, and onnx_int8_over_torch_encoder: against torch in fp32.
- *_step: the same for a step.
- *_rms: relative difference of the clip's embeddings to torch's in fp32.
- load_*_mb: what ONNX Runtime adds to the process, measured after unused memory was returned.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks import harness
from benchmarks.offline import TINY, true_size
from benchmarks.true_size import SIZES
from steno.backends.memory import release_memory
from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint, load_recogniser
from steno.backends.qwen.encoders.encoder_export import export_encoder
from steno.backends.qwen.encoders.encoder_file import EncoderDtype, EncoderRef, open_encoder_file
from steno.backends.qwen.encoders.onnx_encoder import OnnxEncoder
from steno.backends.qwen.engine_options import LoadOptions
from steno.backends.qwen.model.audio_encoder import AudioEncoder
from steno.backends.qwen.model.encoder import Encoder
from steno.backends.qwen.model.model import warm_up_audio
from steno.backends.qwen.model.quantize import quantize
from steno.backends.qwen.model.torch_encoder import torch_encoder_of
from steno.backends.qwen3_asr.frontend import Frontend

CLIP_S, OPEN_S = 11.0, 3.0
RATIOS = {
    "onnx_over_torch_encoder": ("onnx", "torch"),
    "onnx_int8_over_torch_int8_encoder": ("onnx_int8", "torch_int8"),
    "onnx_int8_over_torch_encoder": ("onnx_int8", "torch"),
}


def main() -> None:
    options = _options()
    report = harness.Report("encoder", options)
    with tempfile.TemporaryDirectory() as folder:
        model = true_size(Path(folder), options.size) if options.size else str(options.model)
        checkpoint = LoadOptions(model, device="cpu", dtype="float32")
        loaded = load_recogniser(checkpoint, lambda *_: None)
        encoders: dict[str, AudioEncoder] = {"torch": torch_encoder_of(loaded), "torch_int8": _quantized(checkpoint)}
        torch.set_num_threads(options.threads)
        for name, dtype in (("onnx", "fp32"), ("onnx_int8", "int8")):
            encoders[name] = _exported(report, checkpoint, Path(folder), dtype, options.threads)  # type: ignore[arg-type]
    with torch.inference_mode():
        for work, calls in _works(loaded, encoders).items():
            _compare(report, work, calls, 2 if options.quick else options.rounds)
        _differences(report, loaded, encoders)
    report.finish()


def _compare(report: harness.Report, work: str, calls: dict[str, Callable[[], None]], rounds: int) -> None:
    suffix = "" if work == "clip" else f"_{work}"
    for call in calls.values():
        call()
    for _ in range(rounds):
        seconds = {name: _seconds(call) for name, call in calls.items()}
        for name, took in seconds.items():
            report.add(f"{name}_{work}_ms", 1000 * took)
        for ratio, (one, other) in RATIOS.items():
            report.add(f"{ratio}{suffix}", seconds[one] / seconds[other])


def _works(loaded: LoadedCheckpoint, encoders: dict[str, AudioEncoder]) -> dict[str, dict[str, Callable[[], None]]]:
    """What is timed, by encoder. Features are computed before."""
    model: Any = loaded.model.model
    state = Encoder(model, _frontend(loaded), encoders["torch"]).new_audio_state()
    state.extend(warm_up_audio(OPEN_S))
    mel = state.features(0, 100)[None]
    opened = [torch.randn(39, model.audio_tower.config.d_model)]

    def step(encoder: AudioEncoder) -> None:
        encoder.convolve(mel)
        encoder.attend(opened)

    return {
        "clip": {name: lambda encoder=encoder: _embeddings(loaded, encoder) for name, encoder in encoders.items()},  # type: ignore[misc]
        "step": {name: lambda encoder=encoder: step(encoder) for name, encoder in encoders.items()},  # type: ignore[misc]
    }


def _embeddings(loaded: LoadedCheckpoint, encoder: AudioEncoder) -> torch.Tensor:
    scheduler = Encoder(loaded.model.model, _frontend(loaded), encoder)
    state = scheduler.new_audio_state()
    state.extend(warm_up_audio(CLIP_S))
    scheduler.encode([state])
    return torch.cat(state.embeddings)


def _differences(report: harness.Report, loaded: LoadedCheckpoint, encoders: dict[str, AudioEncoder]) -> None:
    wanted = _embeddings(loaded, encoders["torch"])
    for name in ("torch_int8", "onnx", "onnx_int8"):
        off = (_embeddings(loaded, encoders[name]) - wanted).square().mean().sqrt()
        report.add(f"{name}_rms", float(off / wanted.square().mean().sqrt()))


def _quantized(checkpoint: LoadOptions) -> AudioEncoder:
    """What torch encodes with when QUANTIZE=int8."""
    loaded = load_recogniser(checkpoint, lambda *_: None)
    quantize(loaded.model, loaded.device)
    return torch_encoder_of(loaded)


def _exported(
    report: harness.Report, checkpoint: LoadOptions, folder: Path, dtype: EncoderDtype, threads: int
) -> AudioEncoder:
    path = folder / f"{dtype}.zip"
    began = time.perf_counter()
    (exported,) = export_encoder(checkpoint, path, None, dtype, lambda *_: None)
    report.add(f"export_{dtype}_s", time.perf_counter() - began)
    report.add(f"export_{dtype}_difference", exported.difference or 0)
    torch.set_num_threads(threads)
    release_memory()
    before = psutil.Process().memory_info().rss
    encoder = OnnxEncoder(open_encoder_file(EncoderRef(path, "onnxruntime")), torch.device("cpu"), torch.float32)
    release_memory()
    report.add(f"load_{dtype}_mb", (psutil.Process().memory_info().rss - before) / 2**20)
    return encoder


def _frontend(loaded: LoadedCheckpoint) -> Frontend:
    return Frontend(loaded.processor, loaded.device, lambda audio, device: torch.from_numpy(audio).to(device))


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--model", type=Path, default=TINY, help="a checkpoint")
    parser.add_argument("--size", choices=SIZES, help="random weights of this size instead")
    parser.add_argument("--threads", type=int, default=1, help="of torch and of ONNX Runtime")
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


if __name__ == "__main__":
    main()
