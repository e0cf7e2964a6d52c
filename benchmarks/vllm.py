"""The vLLM backend: what a live step costs, and what steno costs around vLLM's own server.

    make .venv-vllm/.installed
    .venv-vllm/bin/python -m benchmarks.vllm [--size 0.6b] [--parts live offline] [--json out/vllm.json]

Live: the same engine in the same run, one, four and eight streams together, steps of 0.96 s up to 24 s of utterance.
The text is scripted, three tokens per second as English speech has; vLLM computes everything, then its tokens are
replaced, because random weights (`--size 0.6b`) neither emit text nor end it. Text that is a second older than the
step before is stable.

- resubmit_over_windows_24s: median over the last steps of four streams of the time to recognise the whole utterance as
  one audio item, all tokens decoded, divided by the backend's. Target: at least 3 at true size. `_1`, `_8`: with
  as many streams.
- windows_ms, resubmit_ms: of a step of one stream at 22 to 24 s.
- cached_share_24s: prompt tokens of those steps whose keys and values came from the prefix cache. Target: at least 0.5.
  What can be cached at 22 to 24 s are two windows and what is before them, in whole blocks: 192 of 393 prompt tokens,
  0.489, with the blocks of 32 tokens that vLLM has on CPUs; 208, 0.529, with those of 16 that it has on GPUs.
- own_over_vllm_live: a step of one stream in steno's own engine at the same times, divided by the backend's. Above 1:
  vLLM is faster.

Offline (the tiny checkpoint, whatever `--size` is), eight uploads at once:

- server_overhead: time through steno's HTTP API with the backend, divided by that through vLLM's own
  `/v1/audio/transcriptions`. Target: at most 1.10.
- same_text_as_vllm: share of the uploads to which both answer the same text.
- own_over_vllm_offline: steno with its own engine on this machine's processor, divided by steno with the backend.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import harness
from benchmarks.offline import TINY, true_size
from benchmarks.vllm_offline import measure_offline
from steno.backends.base import Recognize
from steno.backends.qwen.checkpoint.model_source import ModelRef
from steno.backends.vllm.backend import VllmBackend
from steno.backends.vllm.in_process import InProcessEngine
from steno.backends.vllm.token_generator import Generation, TokenRequest
from steno.backends.vllm.vllm_options import VllmOptions
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

    from steno.backends.vllm.processing import Processing
    from steno.types import Audio

STEP_S, LENGTH_S, LATE_S = 0.96, 24.0, 22.0
TOKENS_PER_S = 3
STREAMS = (1, 4, 8)
TARGETS = {"server_overhead": 1.10}
WORDS = ("Anna", "Kate", "Marc", "sees", "finds", "paints", "carries", "twelve", "small", "golden", "blue", "boats")
QUICK_LENGTHS_S = (7.68, 15.36, 21.12, 22.08, 23.04, 24.0)


class ScriptedVllm(InProcessEngine):
    """vLLM decodes as many tokens as the script has for the audio; the script's are returned."""

    def __init__(self, options: VllmOptions, processing: Processing) -> None:
        super().__init__(options, processing)
        tokenizer: Any = processing.prompt_builder._tokenizer
        words = np.random.default_rng(0).choice(WORDS, 200)
        self.script: list[int] = tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]
        self.cached_shares: list[float] = []

    async def _generate(self, llm: AsyncLLM, request: TokenRequest) -> Generation:
        from steno.backends.vllm.in_process import prompt_of

        _, tail = self._processing.prompt_builder.around("", "en")
        forced = len(request.after) - len(tail)
        said = self.script[forced : tokens_at(sum(window.frames for window in request.windows) / 100)]
        prompt = prompt_of(request, self._processing.audio_token_id)
        self.cached_shares.append(await self._decode(llm, prompt, len(said), int(request.priority)))
        return Generation(tuple(said), (-0.1,) * len(said))

    def text_of(self, tokens: Sequence[int]) -> str:
        return self._processing.output_parser.read(list(tokens), [-0.1] * len(tokens), "en").text

    async def resubmit(self, audio: Audio) -> None:
        """The whole utterance as one audio item, and all of its text."""
        from vllm.inputs import TokensPrompt

        before, after = self._processing.prompt_builder.around("", "en")
        ids = [*before, self._processing.audio_token_id, *after]
        prompt = TokensPrompt(prompt_token_ids=ids, multi_modal_data={"audio": (audio, SAMPLE_RATE)})
        llm = await self._running()
        await self._loop.run(self._decode(llm, prompt, tokens_at(len(audio) / SAMPLE_RATE), 1))

    async def _decode(self, llm: AsyncLLM, prompt: Any, tokens: int, priority: int) -> float:
        """Decode so many tokens; returns the share of the prompt that was cached."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        count = max(tokens, 1)
        params = SamplingParams(
            temperature=0.0, max_tokens=count, min_tokens=count, ignore_eos=True, logprobs=0, detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )  # fmt: skip
        outputs: AsyncIterator[Any] = llm.generate(prompt, params, f"step-{next(self._numbers)}", priority=priority)
        (last,) = [output async for output in outputs]
        assert len(last.outputs[0].token_ids) == count
        return float((last.num_cached_tokens or 0) / len(last.prompt_token_ids))


def tokens_at(seconds: float) -> int:
    return round(TOKENS_PER_S * seconds)


class LiveSteps:
    """Live utterances that grow together, by windows and resubmitted."""

    def __init__(self, backend: VllmBackend, engine: ScriptedVllm, audios: Sequence[Audio]) -> None:
        self._backend, self._engine, self._audios = backend, engine, audios
        self._stable = ""

    async def windows(self, end_s: float) -> float:
        end = round(end_s * SAMPLE_RATE)
        works = [
            Recognize(audio[:end], "en", utterance=str(number), final=False, stable=self._stable)
            for number, audio in enumerate(self._audios)
        ]
        began = time.perf_counter()
        hypothesis, *_ = await asyncio.gather(*(self._backend.recognize(work) for work in works))
        took = time.perf_counter() - began
        stable = self._engine.script[: tokens_at(max(end_s - 1.0, 0.0))]
        text = self._engine.text_of(stable)
        self._stable = text if hypothesis.text.startswith(text) else ""
        return took

    async def resubmitted(self, end_s: float) -> float:
        audios = [audio[: round(end_s * SAMPLE_RATE)] for audio in self._audios]
        began = time.perf_counter()
        await asyncio.gather(*(self._engine.resubmit(audio) for audio in audios))
        return time.perf_counter() - began

    def forget(self) -> None:
        for number in range(len(self._audios)):
            self._backend.forget(str(number))


async def measure_live(folder: str, options: argparse.Namespace, report: harness.Report) -> None:
    engines: list[ScriptedVllm] = []
    model = ModelRef(folder, None, (), None, "recogniser")

    def new_engine(processing: Processing) -> ScriptedVllm:
        engines.append(ScriptedVllm(VllmOptions(model, slots=max(options.streams)), processing))
        return engines[-1]

    backend = VllmBackend(model, max(options.streams), "cpu", new_engine)
    await backend.load(lambda *_: None)
    try:
        for streams in options.streams:
            await _measure_streams(streams, backend, engines[0], options, report)
    finally:
        await backend.unload()


async def _measure_streams(
    streams: int, backend: VllmBackend, engine: ScriptedVllm, options: argparse.Namespace, report: harness.Report
) -> None:
    steps = LiveSteps(backend, engine, [speech_like(10 * streams + number) for number in range(streams)])
    suffix = "" if streams == 4 else f"_{streams}"
    for end_s in lengths(options):
        engine.cached_shares.clear()
        by_windows = await steps.windows(end_s)
        if end_s < LATE_S:
            continue
        report.add("cached_share_24s", *engine.cached_shares)
        resubmitted = await steps.resubmitted(end_s)
        report.add(f"resubmit_over_windows_24s{suffix}", resubmitted / by_windows)
        print(f"{streams} streams, {end_s:.2f} s: {by_windows:.2f} s by windows, {resubmitted:.2f} s whole", flush=True)
        report.add(f"windows_ms_{streams}", 1000 * by_windows)
        report.add(f"resubmit_ms_{streams}", 1000 * resubmitted)
    steps.forget()


def lengths(options: argparse.Namespace) -> Sequence[float]:
    if options.quick:
        return QUICK_LENGTHS_S
    return [STEP_S * number for number in range(1, round(LENGTH_S / STEP_S) + 1)]


def speech_like(seed: int) -> Audio:
    """Noise: random weights know no difference, and no two streams may share their audio."""
    noise = np.random.default_rng(seed).standard_normal(round(LENGTH_S * SAMPLE_RATE))
    return (0.1 * noise).astype(np.float32)


def measure_own(folder: str, options: argparse.Namespace, report: harness.Report) -> None:
    """The same steps in steno's own engine, which drafts with the last text instead of forcing it."""
    from benchmarks.scripted_qwen import Scripted
    from benchmarks.streaming_cost import together
    from steno.backends.qwen.checkpoint.loader import load_recogniser
    from steno.backends.qwen.engine_options import LoadOptions

    loaded = load_recogniser(LoadOptions(folder, device="cpu", dtype="float32"), lambda *_: None)
    runner, audio = Scripted(loaded, 1), speech_like(10)
    late_s = []
    for end_s in lengths(options):
        began = time.perf_counter()
        together(runner, [audio[: round(end_s * SAMPLE_RATE)]])
        if end_s >= LATE_S:
            late_s.append(time.perf_counter() - began)
    report.add("own_ms_1", *(1000 * took for took in late_s))
    if 1 in options.streams:
        report.add("own_over_vllm_live", 1000 * statistics.median(late_s) / report.summary()["windows_ms_1"])


def main() -> None:
    options = _options()
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    report = harness.Report("vllm", options)
    with tempfile.TemporaryDirectory() as folder:
        if "live" in options.parts:
            model = str(options.model) if options.size == "tiny" else true_size(Path(folder))
            asyncio.run(measure_live(model, options, report))
            measure_own(model, options, report)
        if "offline" in options.parts:
            measure_offline(options.model, report, quick=options.quick)
    report.finish(TARGETS)


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--model", type=Path, default=TINY, help="the tiny checkpoint")
    parser.add_argument("--size", choices=("tiny", "0.6b"), default="tiny", help="0.6b: random weights of that size")
    parser.add_argument("--streams", type=int, nargs="+", default=list(STREAMS), help="live streams at once")
    parser.add_argument("--parts", nargs="+", choices=("live", "offline"), default=["live", "offline"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
