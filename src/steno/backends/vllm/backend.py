"""Qwen3-ASR on vLLM as an `AsyncBackend`: work → token requests, tokens → text."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from steno.backends.base import Capabilities, Progress, Recognize, RestartsItself
from steno.backends.qwen3_asr.output import confirms, repeats_context
from steno.backends.qwen3_asr.prompt import LANGUAGES
from steno.backends.qwen3_asr.work_limits import MAX_AUDIO_S, check_work, token_limit
from steno.backends.repetition import cut_at
from steno.backends.vllm.token_generator import Generation, TokenRequest, priority_of
from steno.backends.vllm.utterances import Utterance
from steno.errors import BackendUnavailableError
from steno.request_ids import run_in_executor
from steno.types import SAMPLE_RATE, Hypothesis

if TYPE_CHECKING:
    from steno.backends.qwen.checkpoint.model_source import ModelRef
    from steno.backends.vllm.processing import Processing
    from steno.backends.vllm.token_generator import TokenGenerator

T = TypeVar("T")

FEATURE_THREADS = 4
"""A step's features take a millisecond; PyTorch releases the GIL for most of it."""

RESERVED_SHARE = 4
"""One of so many slots is reserved for live work."""


class VllmBackend:
    """See `Capabilities` for what it supports.

    Args:
        model: the checkpoint, for its processor; whether its weights are read here too is the generator's.
        slots: max requests that vLLM decodes together.
        device: for `/health`.
        new_generator: creates the connection to vLLM.
    """

    name = "vllm"

    def __init__(
        self, model: ModelRef, slots: int, device: str, new_generator: Callable[[Processing], TokenGenerator]
    ) -> None:
        self.model_id = model.model_id
        self.device = device
        self.live_workers = max(1, slots // RESERVED_SHARE)
        self.workers = max(1, slots - self.live_workers)
        self.capabilities = Capabilities(
            languages=frozenset(LANGUAGES),
            live=True,
            word_times=False,
            context=True,
            max_audio_s=MAX_AUDIO_S,
        )
        self._model = model
        self._new_generator = new_generator
        self._processing: Processing | None = None
        self._generator: TokenGenerator | None = None
        self._utterances: dict[str, Utterance] = {}
        self._threads: ThreadPoolExecutor | None = None

    async def load(self, progress: Progress) -> None:
        """Raises ModelLoadError, SettingsError."""
        if self._threads is None:  # it may be left from a load that failed
            self._threads = ThreadPoolExecutor(FEATURE_THREADS, "vllm-features", initializer=_one_thread_each)
        if self._processing is None:
            self._processing = await self._in_thread(lambda: _read_processing(self._model, progress))
        if self._generator is None:
            self._generator = self._new_generator(self._processing)
        await self._generator.start(progress)
        progress(1.0, "ready")

    async def unload(self) -> None:
        self._utterances.clear()
        if self._generator is not None:
            await self._generator.stop()
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()

    async def recognize(self, work: Recognize) -> Hypothesis:
        """Recognise a piece.

        A text that repeats its context may have leaked from it. So the audio is recognised again without a context; if
        the second text differs, it is the result.

        Raises:
            UnsupportedLanguageError, AudioTooLongError: the work is not supported.
            BackendCrashedError: vLLM's engine died.
            BackendError: vLLM failed on this audio.
        """
        check_work(work, self.name)
        processing = self._loaded()
        if not work.audio.any():
            return Hypothesis("", None)
        utterance = self._utterance_of(work, processing)
        context = await self._in_thread(lambda: processing.prompt_builder.clean(work.context))
        work = replace(work, context=context)
        hypothesis = await self._recognize_once(work, utterance)
        if not utterance.is_trusted and context and repeats_context(hypothesis.text, context):
            alone = replace(work, context="", utterance=None, final=True, stable="")
            again = await self._recognize_once(alone, Utterance(processing.new_log_mel()))
            if not confirms(again.text, hypothesis.text):
                hypothesis = again
            else:
                utterance.is_trusted = True
        if work.final and work.utterance is not None:
            self.forget(work.utterance)
        return hypothesis

    def forget(self, utterance: str) -> None:
        self._utterances.pop(utterance, None)
        if self._generator is not None:
            self._generator.forget(utterance)

    def restarting(self) -> str | None:
        """See `RestartsItself`."""
        generator = self._generator
        return generator.restarting() if isinstance(generator, RestartsItself) else None

    def _utterance_of(self, work: Recognize, processing: Processing) -> Utterance:
        if work.utterance is None:
            return Utterance(processing.new_log_mel())
        known = self._utterances.get(work.utterance)
        if known is None:
            known = self._utterances[work.utterance] = Utterance(processing.new_log_mel())
        return known

    async def _recognize_once(self, work: Recognize, utterance: Utterance) -> Hypothesis:
        """One pass over the audio. `work.context` is clean."""
        processing = self._loaded()
        generator = self._generator
        assert generator is not None
        limit = token_limit(len(work.audio) / SAMPLE_RATE)
        forced, request = await self._in_thread(lambda: _request_of(work, utterance, processing, limit))
        generation = await generator.generate(request)
        return await self._in_thread(lambda: _read(generation, work, utterance, processing, forced=forced, limit=limit))

    def _loaded(self) -> Processing:
        if self._processing is None or self._threads is None:
            raise BackendUnavailableError("backend 'vllm' is not loaded")
        return self._processing

    async def _in_thread(self, call: Callable[[], T]) -> T:
        assert self._threads is not None
        return await run_in_executor(self._threads, call)


def _read_processing(model: ModelRef, progress: Progress) -> Processing:
    from steno.backends.qwen.checkpoint.model_source import resolve
    from steno.backends.vllm.processing import Processing

    return Processing(resolve(model, progress))


def _request_of(work: Recognize, utterance: Utterance, processing: Processing, limit: int) -> tuple[int, TokenRequest]:
    """How many tokens of the last hypothesis are stable, and the request that forces them."""
    forced = 0
    if work.stable and utterance.language == work.language:
        covered = processing.output_parser.covered(utterance.tokens, work.language, work.stable)
        forced = min(covered, limit - 1)
    before, tail = processing.prompt_builder.around(work.context, work.language)
    windows = utterance.windows(work.audio, processing.new_log_mel)
    after = (*tail, *utterance.tokens[:forced])
    return forced, TokenRequest(before, windows, after, limit - forced, priority_of(work), work)


def _read(
    generation: Generation,
    work: Recognize,
    utterance: Utterance,
    processing: Processing,
    *,
    forced: int,
    limit: int,
) -> Hypothesis:
    """The text: forced tokens and generated ones, without a stop token or a repetition loop."""
    if generation.text is not None:
        utterance.tokens, utterance.logprobs = (), ()
        return Hypothesis(generation.text, work.language)
    tokens = [*utterance.tokens[:forced], *generation.tokens]
    logprobs = [*utterance.logprobs[:forced], *generation.logprobs]
    stop = next((n for n, token in enumerate(tokens) if token in processing.stop_token_ids), len(tokens))
    del tokens[stop:], logprobs[stop:]
    loop = _loop_start(tokens, forced, limit)
    if loop is not None:
        del tokens[loop:], logprobs[loop:]
    if work.utterance is not None:
        utterance.tokens, utterance.logprobs, utterance.language = tuple(tokens), tuple(logprobs), work.language
    hypothesis = processing.output_parser.read(tokens, logprobs, work.language)
    return replace(hypothesis, repetition=True) if loop is not None else hypothesis


def _loop_start(tokens: list[int], forced: int, limit: int) -> int | None:
    """Where a repetition loop starts, as a decoder that looks for one after each token finds it."""
    for length in range(forced + 1, len(tokens) + 1):
        start = cut_at(tokens[:length], min_length=forced, is_full=length >= limit)
        if start is not None:
            return start
    return None


def _one_thread_each() -> None:
    import torch

    torch.set_num_threads(1)
