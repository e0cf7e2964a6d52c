"""Qwen3-ASR as a `StepBackend`: continuous batching over a slotted KV cache.

The backend turns work into requests and tokens into text, and decides whether a text that repeats the context was
spoken. `batching.cascade` chooses the model, `batching.runner` runs the requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from loguru import logger

from steno.backends.base import (
    Accelerations,
    Capabilities,
    Drafts,
    Finished,
    Gpu,
    Progress,
    Recognize,
    SlotUsage,
)
from steno.backends.memory import release_memory
from steno.backends.qwen.batching.request import Request
from steno.backends.qwen3_asr.prompt import LANGUAGES
from steno.backends.qwen3_asr.work_limits import MAX_AUDIO_S, PROMPT_TOKENS, check_work, token_limit
from steno.errors import BackendError, BackendUnavailableError
from steno.types import SAMPLE_RATE, Hypothesis

if TYPE_CHECKING:
    from steno.backends.qwen.batching.cascade import Cascade
    from steno.backends.qwen.batching.runner import ModelRunner
    from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
    from steno.errors import StenoError


class QwenBackend:
    """See `Capabilities` for what it supports.

    Args:
        options: which checkpoint, and where it runs.
        engine: slots, memory and cascade.
    """

    name = "qwen"
    capabilities: Capabilities

    def __init__(self, options: LoadOptions, engine: EngineOptions) -> None:
        self.model_id = options.model_id
        self.slots = engine.slots
        self.capabilities = Capabilities(
            languages=frozenset(LANGUAGES),
            live=engine.incremental,
            word_times=False,
            context=True,
            max_audio_s=MAX_AUDIO_S,
        )
        self._options = options
        self._engine = engine
        self._cascade: Cascade | None = None
        self._drafts = Drafts(0, 0)
        """Counts of the models that have been unloaded."""
        self._slot_usage = SlotUsage()
        """The same."""
        self._requests: dict[Recognize, Request] = {}
        """The current pass of each piece of work."""
        self._trusted: set[str] = set()
        """Utterances whose text repeats their context and was confirmed as spoken."""
        self._done: list[Finished] = []

    @property
    def device(self) -> str:
        cascade = self._cascade  # read once: another thread may unload it
        return str(cascade.main.model.device) if cascade else self._options.device

    @property
    def path(self) -> str:
        """`Cascade.name`, or what it will be once loaded."""
        cascade = self._cascade
        return cascade.name if cascade else self._engine.path

    def accelerations(self) -> Accelerations | None:
        """How the target model runs; see `HasAccelerations`."""
        cascade = self._cascade
        return cascade.main.model.accelerations if cascade else None

    def gpu(self) -> Gpu | None:
        from steno.backends.qwen.model.memory_usage import gpu_of

        cascade = self._cascade
        return gpu_of(cascade.main.model.device) if cascade else None

    def drafts(self) -> Drafts:
        cascade, before = self._cascade, self._drafts
        if cascade is None:
            return before
        return Drafts(before.proposed + cascade.main.proposed, before.accepted + cascade.main.accepted)

    def slot_usage(self) -> SlotUsage:
        cascade = self._cascade
        runners = cascade.runners if cascade is not None else []
        return sum((runner.slot_usage() for runner in runners), self._slot_usage)

    def load(self, progress: Progress) -> None:
        """Raises ModelLoadError: which part of the checkpoint is missing, damaged or not Qwen3-ASR's."""
        from steno.backends.qwen.assembly import assemble

        self._cascade = assemble(self._options, self._engine, PROMPT_TOKENS + token_limit(MAX_AUDIO_S), progress)
        progress(1.0, "ready")

    def unload(self) -> None:
        self._drafts = self.drafts()
        self._slot_usage = SlotUsage(preemptions=self.slot_usage().preemptions)
        self._cascade = None
        self._trusted.clear()
        release_memory()

    def admit(self, work: Recognize) -> None:
        """Raises UnsupportedLanguageError, AudioTooLongError."""
        check_work(work, self.name)
        cascade = self.loaded()
        if not work.audio.any():
            self._done.append(Finished(work, Hypothesis("", None)))
            return
        request = self._new_request(work, cascade)
        self._requests[work] = request
        cascade.add_request(request)

    def step(self) -> Sequence[Finished]:
        finished, self._done = self._done, []
        if self._requests:
            for runner in self.loaded().runners:
                finished += self._step(runner)
        return finished

    def _step(self, runner: ModelRunner) -> list[Finished]:
        finished: list[Finished] = []
        for request in runner.step():
            work = request.work
            outcome = self._outcome(request, runner)
            if isinstance(outcome, Request):
                self._requests[work] = outcome
                continue
            if work.final and work.utterance is not None:
                self._trusted.discard(work.utterance)
            del self._requests[work]
            finished.append(Finished(work, outcome))
        return finished

    def release(self, work: Recognize) -> None:
        self._done = [finished for finished in self._done if finished.work is not work]
        request = self._requests.pop(work, None)
        if request is not None and self._cascade is not None:
            self._cascade.abort_request(request)

    def forget(self, utterance: str) -> None:
        self._trusted.discard(utterance)
        if self._cascade is not None:
            self._cascade.forget(utterance)

    def max_tokens(self, work: Recognize) -> int:
        """Max tokens of the work's text."""
        return token_limit(len(work.audio) / SAMPLE_RATE)

    def _new_request(self, work: Recognize, cascade: Cascade) -> Request:
        context = cascade.main.model.prompt_builder.clean(work.context)
        return Request(
            work,
            replace(work, context=context),
            self.max_tokens(work),
            is_trusted=work.utterance in self._trusted,
        )

    def _outcome(self, request: Request, runner: ModelRunner) -> Hypothesis | StenoError | Request:
        """The text, the error, or the next pass, which has been queued."""
        following = self.loaded().add_next_pass(request, runner)
        if following is not None:
            return following
        if request.failure is not None:
            return request.failure
        try:
            return self._read(request, runner)
        except Exception as error:  # noqa: BLE001 - a boundary: logged, and delivered to the work that failed
            logger.opt(exception=error).error("a text could not be decoded: {}", error)
            return BackendError("the recogniser's text could not be decoded; the server's log has the reason")

    def _read(self, request: Request, runner: ModelRunner) -> Hypothesis | Request:
        """The text; or a second pass without a context.

        A text that repeats its context may have leaked from it. So the audio is recognised again without a context; if
        the second text differs, it is the result.
        """
        from steno.backends.qwen3_asr.output import confirms, repeats_context

        params, work = request.params, request.work
        hypothesis = runner.model.output_parser.read(request.tokens, request.logprobs, work.language)
        settles = self.loaded().settles(runner)
        if request.diverged or request.repetition or not settles:
            hypothesis = replace(hypothesis, settles=settles, diverged=request.diverged, repetition=request.repetition)
        if request.doubted is not None:
            if not confirms(hypothesis.text, request.doubted.text):
                return hypothesis
            if work.utterance is not None and not work.final:
                self._trusted.add(work.utterance)
            return request.doubted
        if request.is_trusted or not (params.context and repeats_context(hypothesis.text, params.context)):
            return hypothesis
        again = request.next_pass(doubted=hypothesis, context="", utterance=None, final=True, stable="")
        runner.add_request(again)
        return again

    def loaded(self) -> Cascade:
        if self._cascade is None:
            raise BackendUnavailableError("backend 'qwen' is not loaded")
        return self._cascade
