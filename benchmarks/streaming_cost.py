"""Cost of a live step by the stream's length: steno's engine against recomputing.

    python -m benchmarks.streaming_cost [--int8] [--json out/streaming_cost.json]
    python -m benchmarks.streaming_cost --model tests/tiny/tiny-asr --quick

Continuous speech, a step every 480 ms, utterances cut after 24 s as the server does. The weights are random, of the
size of Qwen3-ASR-0.6B (or `--model`), so the tokens are scripted: three per second, of which each step revises the last
three and sometimes one further back. The whole model is computed; the sampled tokens are then replaced.

- naive_over_steno_24s: to encode, prefill and decode the whole utterance, divided by steno's at 24 s. Target: 2.5.
- refeed_over_steno_120s: time to encode and prefill the whole session with its text except five tokens, which are
  decoded (as qwen-asr's streaming does), at 120 s, divided by the median step of steno's last utterance. Target: 15.
  Part of the gain is that steno cuts utterances: without cuts, a step grows with the session.
  refeed_over_steno_last_10s: divided by the mean step of the session's last ten seconds. Target: 15.
  refeed_over_steno_longest: divided by its last step, the most expensive, at 24 s of the utterance.
- second_over_first_minute: mean step in the second minute, divided by that in the first. Target: at most 1.15.
- batch4_gain: four steps in turn, divided by one step of four streams with utterances of different lengths.
- steno_ms, naive_ms, refeed_ms: medians of CPU milliseconds there; with several `--threads`, their sum.

The JSON's series are the milliseconds of each step of steno's by the session's length, of recomputing by the length of
the utterance, and of feeding the session again by its length.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import harness
from benchmarks.offline import true_size
from benchmarks.scripted_qwen import Scripted, new_request, script
from steno.backends.qwen.batching.runner import ModelRunner
from steno.backends.qwen.checkpoint.loader import load_recogniser
from steno.backends.qwen.engine_options import LoadOptions
from steno.backends.qwen.model.decoder import PrefillRequest
from steno.backends.qwen.model.model import AsrModel, warm_up_audio
from steno.backends.qwen.model.quantize import quantize
from steno.types import SAMPLE_RATE

STEP_S, UTTERANCE_S, SESSION_S = 0.48, 24.0, 120.0
NAIVE_AT_S, REFEED_AT_S = (6.0, 12.0, 18.0, UTTERANCE_S), (30.0, 60.0, 90.0, SESSION_S)
"""Where the curves have points; the last one is what the ratios are of."""
ROLLBACK = 5
LENGTHS_S = (5.0, 9.0, 14.0, 20.0)


class Stream:
    """Steps of one stream through a runner."""

    def __init__(self, runner: ModelRunner, audio: Any) -> None:
        self._runner = runner
        self._audio = audio
        self._utterance = -1

    def step(self, end_s: float) -> float:
        """Recognise the stream up to `end_s`; returns the seconds."""
        utterance = int((end_s - 0.001) // UTTERANCE_S)
        if utterance != self._utterance:
            self.forget()
            self._utterance = utterance
        start = round(utterance * UTTERANCE_S * SAMPLE_RATE)
        return together(self._runner, [self._audio[start : round(end_s * SAMPLE_RATE)]])

    def forget(self) -> None:
        self._runner.forget("0")


def together(runner: ModelRunner, audios: Sequence[Any]) -> float:
    """One step for several live utterances; returns its CPU seconds."""
    began = time.process_time()
    requests = [new_request(audio, str(n), final=False) for n, audio in enumerate(audios)]
    for request in requests:
        runner.add_request(request)
    while not all(request.done for request in requests):
        runner.step()
    assert all(request.failure is None for request in requests)
    return time.process_time() - began


def refeed(model: AsrModel, audio: Any) -> float:
    """Recompute the whole session, with all of its text except the last tokens as prefix."""
    said = script(len(audio) / SAMPLE_RATE)
    before, after = model.prompt_builder.around("", "en")
    began = time.process_time()
    model.decoder.reset_slot(0)
    state = model.encoder.new_audio_state()
    state.extend(audio)
    model.encode([state])
    model.prefill([PrefillRequest(0, [before, *state.embeddings], after + tuple(said[:-ROLLBACK]))])
    for token in said[-ROLLBACK:]:
        model.decode({0: token})
    return time.process_time() - began


def main() -> None:
    options = _options()
    report = harness.Report("streaming_cost", options)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = str(options.model) if options.model else true_size(Path(folder))
        loaded = load_recogniser(LoadOptions(checkpoint, device="cpu", dtype=options.dtype), lambda *_: None)
    if options.int8:
        quantize(loaded.model, loaded.device)
    torch.set_num_threads(options.threads)
    audio = warm_up_audio(SESSION_S)

    runner = partial(Scripted, loaded)
    rounds = 1 if options.quick else options.rounds
    steps = _steno(report, Stream(runner(1), audio), options.quick)
    at_24 = [steps[end] for end in steps if (end - 0.001) % UTTERANCE_S + 0.001 > UTTERANCE_S - 1.5]
    steno_24 = statistics.median(at_24)
    last = [steps[end] for end in steps if end > SESSION_S - UTTERANCE_S]
    naive = Stream(runner(1, incremental=False), audio)
    naive_s = _repeat(lambda: naive.step(UTTERANCE_S), rounds)
    model = runner(1).model
    refeed(model, audio)  # once for the cache to grow
    refeed_s = _repeat(lambda: refeed(model, audio), rounds)
    report.add_series("naive_ms", _curve(naive.step, NAIVE_AT_S, statistics.median(naive_s)))
    again = partial(_refeed_part, model, audio)
    report.add_series("refeed_ms", _curve(again, REFEED_AT_S, statistics.median(refeed_s)))
    report.add("steno_ms", 1000 * steno_24)
    report.add("naive_ms", *(1000 * seconds for seconds in naive_s))
    report.add("refeed_ms", *(1000 * seconds for seconds in refeed_s))
    report.add("naive_over_steno_24s", statistics.median(naive_s) / steno_24)
    report.add("refeed_over_steno_120s", statistics.median(refeed_s) / statistics.median(last))
    last_10s = [steps[end] for end in steps if end > SESSION_S - 10]
    report.add("refeed_over_steno_last_10s", statistics.median(refeed_s) / statistics.mean(last_10s))
    report.add("refeed_over_steno_longest", statistics.median(refeed_s) / statistics.median(last[-3:]))
    report.add("batch4_gain", _batch_gain(runner, audio, rounds))
    report.finish()


def _steno(report: harness.Report, stream: Stream, is_quick: bool) -> dict[float, float]:
    """Every step of the session; in the quick form of its last two utterances."""
    stream.step(STEP_S)
    stream.forget()
    ends = [round(n * STEP_S, 2) for n in range(1, round(SESSION_S / STEP_S) + 1)]
    if is_quick:
        ends = [end for end in ends if end > SESSION_S - 2 * UTTERANCE_S]
    steps = {end: stream.step(end) for end in ends}
    for end, seconds in steps.items():
        report.add("steno_step_ms", 1000 * seconds)
        if round(end % 24, 2) in (0.0, 5.76, 12.0, 18.24):
            print(f"{end:6.2f} s: {1000 * seconds:7.1f} ms", flush=True)
    report.add_series("steno_ms", [(end, 1000 * seconds) for end, seconds in steps.items()])
    minutes = [[seconds for end, seconds in steps.items() if 60 * n < end <= 60 * n + 60] for n in (0, 1)]
    if all(minutes):
        report.add("second_over_first_minute", statistics.mean(minutes[1]) / statistics.mean(minutes[0]))
    return steps


def _batch_gain(runner: Callable[[int], Scripted], audio: Any, rounds: int) -> float:
    """Four utterances of different lengths: one by one, and together, in turn."""
    alone, four = [runner(1) for _ in LENGTHS_S], runner(4)
    gains = []
    for n in range(rounds + 1):
        audios = [audio[: round((length_s + n * STEP_S) * SAMPLE_RATE)] for length_s in LENGTHS_S]
        one_by_one = sum(together(one, [own]) for one, own in zip(alone, audios, strict=True))
        gains.append(one_by_one / together(four, audios))
    return statistics.median(gains[1:])


def _refeed_part(model: AsrModel, audio: Any, end_s: float) -> float:
    return refeed(model, audio[: round(end_s * SAMPLE_RATE)])


def _curve(run: Callable[[float], float], at_s: Sequence[float], last_s: float) -> list[tuple[float, float]]:
    """Milliseconds at each length; the last one is known."""
    return [*((at, 1000 * run(at)) for at in at_s[:-1]), (at_s[-1], 1000 * last_s)]


def _repeat(do: Callable[[], float], rounds: int) -> Sequence[float]:
    return [do() for _ in range(rounds)]


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--model", type=Path, help="a checkpoint; by default random weights of Qwen3-ASR-0.6B's size")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--int8", action="store_true", help="with QUANTIZE=int8")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--rounds", type=int, default=3, help="of what is measured at one place")
    return parser.parse_args()


if __name__ == "__main__":
    main()
