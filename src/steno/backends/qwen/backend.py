"""Qwen3-ASR as a `StepBackend`: many pieces at once, a portion of each in every step.

What is heard, and how, is decided here: which model takes a piece (`paths`), what its tokens mean, whether a text that
stands in the context was really said. `runner.ModelRunner` does the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from loguru import logger

from steno.backends.base import Capabilities, Drafts, Finished, Gpu, Progress, Recognize
from steno.backends.memory import release_memory
from steno.backends.qwen3_asr.prompt import LANGUAGES
from steno.errors import (
    AudioTooLongError,
    BackendError,
    BackendUnavailableError,
    SupersededError,
    UnsupportedLanguageError,
)
from steno.types import SAMPLE_RATE, Hypothesis

if TYPE_CHECKING:
    from steno.backends.qwen.batching.cascade import Cascade
    from steno.backends.qwen.batching.request import Request, RequestParams
    from steno.backends.qwen.batching.runner import ModelRunner
    from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
    from steno.errors import StenoError

MAX_AUDIO_S = 40.0

TOKENS_PER_S = 30
"""Twice what fast Greek or Hindi has, where a token is about a letter; English has three. Only loops pay for it."""

MIN_TOKENS = 24
"""For the language and a word."""

PROMPT_TOKENS = 64 + round(13 * MAX_AUDIO_S)
"""Of the longest audio, without its context."""


@dataclass(slots=True, eq=False)
class _Task:
    """A piece of work and how far it has come."""

    work: Recognize
    row: Request
    is_trusted: bool = False
    """Whether a text of this utterance that stands in the context has turned out to be said."""
    doubted: Hypothesis | None = None
    """A text that stands in its context, while the audio is heard again without one."""


class QwenBackend:
    """See `Capabilities` for what it can do.

    Args:
        options: which checkpoint, and where it runs.
        engine: how it runs.
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
        self._path: Cascade | None = None
        self._drafts = Drafts(0, 0)
        """Of the models that have been unloaded."""
        self._tasks: dict[Recognize, _Task] = {}
        self._trusted: set[str] = set()
        self._done: list[Finished] = []

    @property
    def device(self) -> str:
        path = self._path  # another thread may unload it between two looks
        return str(path.main.machine.device) if path else self._options.device

    @property
    def path(self) -> str:
        """Which of `paths` is taken, or would be."""
        path = self._path
        return path.name if path else self._engine.path

    def gpu(self) -> Gpu | None:
        from steno.backends.qwen.model.memory_usage import gpu_of

        path = self._path
        return gpu_of(path.main.machine.device) if path else None

    def drafts(self) -> Drafts:
        path, before = self._path, self._drafts
        if path is None:
            return before
        return Drafts(before.proposed + path.main.proposed, before.accepted + path.main.accepted)

    def load(self, progress: Progress) -> None:
        """Raises ModelLoadError: which part of the checkpoint is missing, broken or not Qwen3-ASR's."""
        from steno.backends.qwen.assembly import assemble

        self._path = assemble(self._options, self._engine, PROMPT_TOKENS + token_limit(MAX_AUDIO_S), progress)
        progress(1.0, "ready")

    def unload(self) -> None:
        self._drafts = self.drafts()
        self._path = None
        self._trusted.clear()
        release_memory()

    def admit(self, work: Recognize) -> None:
        """Raises UnsupportedLanguageError, AudioTooLongError."""
        check(work)
        path = self._loaded()
        if not work.audio.any():
            self._done.append(Finished(work, Hypothesis("", None)))
            return
        if work.final and work.utterance is not None:
            self._supersede(work.utterance)
        hearing = self._hearing(work, path.main)
        self._tasks[work] = _Task(work, path.start(hearing), work.utterance in self._trusted)

    def step(self) -> Sequence[Finished]:
        finished, self._done = self._done, []
        if self._tasks:
            for runner in self._loaded().runners:
                finished += self._step(runner)
        return finished

    def _step(self, runner: ModelRunner) -> list[Finished]:
        tasks = {task.row: task for task in self._tasks.values()}
        finished: list[Finished] = []
        for row in runner.step():
            task = tasks[row]
            outcome = self._outcome(task)
            if outcome is not None:
                if task.work.final and task.work.utterance is not None:
                    self._trusted.discard(task.work.utterance)
                del self._tasks[task.work]
                finished.append(Finished(task.work, outcome))
        return finished

    def release(self, work: Recognize) -> None:
        self._done = [finished for finished in self._done if finished.work is not work]
        task = self._tasks.pop(work, None)
        if task is not None:
            task.row.runner.stop(task.row)

    def forget(self, utterance: str) -> None:
        self._trusted.discard(utterance)
        if self._path is not None:
            self._path.forget(utterance)

    def max_tokens(self, work: Recognize) -> int:
        """How long its text may become."""
        return token_limit(len(work.audio) / SAMPLE_RATE)

    def _hearing(self, work: Recognize, runner: ModelRunner) -> RequestParams:
        from steno.backends.qwen.batching.request import RequestParams

        return RequestParams(
            work.audio,
            runner.machine.prompter.clean(work.context),
            work.language,
            self.max_tokens(work),
            live=work.utterance is not None,
            utterance=work.utterance,
            final=work.final,
            stable=work.stable,
        )

    def _supersede(self, utterance: str) -> None:
        """The end of an utterance is there: what is still being heard of it is of no interest."""
        for work, task in list(self._tasks.items()):
            if work.utterance == utterance:
                task.row.runner.stop(task.row)
                del self._tasks[work]
                self._done.append(Finished(work, SupersededError("the utterance has ended")))

    def _outcome(self, task: _Task) -> Hypothesis | StenoError | None:
        """What was heard, or why nothing was; None where it goes on."""
        path = self._loaded()
        following = path.follow(task.row)
        if following is not None:
            task.row = following
            return None
        if task.row.failure is not None:
            return task.row.failure
        try:
            return self._read(task)
        except Exception as error:  # noqa: BLE001 - a boundary: logged, and delivered to the one whom it concerns
            logger.opt(exception=error).error("a text could not be read: {}", error)
            return BackendError("the recogniser's text could not be read; the server's log has the reason")

    def _read(self, task: _Task) -> Hypothesis | None:
        """What was heard; None where it has to be heard again.

        A text that stands in the context may have leaked from it. So the audio is heard again without any; if that
        says something else, it is what was said.
        """
        from steno.backends.qwen3_asr.output import confirms, repeats_context

        row, work = task.row, task.work
        runner = row.runner
        heard = runner.machine.reader.read(row.tokens, row.certainty, work.language)
        settles = self._loaded().settles(row)
        if row.diverged or row.repetition or not settles:
            heard = replace(heard, settles=settles, diverged=row.diverged, repetition=row.repetition)
        if task.doubted is not None:
            if not confirms(heard.text, task.doubted.text):
                return heard
            if work.utterance is not None and not work.final:
                self._trusted.add(work.utterance)
            return task.doubted
        if task.is_trusted or not (row.hearing.context and repeats_context(heard.text, row.hearing.context)):
            return heard
        task.doubted = heard
        task.row = runner.start(replace(row.hearing, context="", utterance=None, final=True, stable="", draft=()))
        return None

    def _loaded(self) -> Cascade:
        if self._path is None:
            raise BackendUnavailableError("backend 'qwen' is not loaded")
        return self._path


def token_limit(seconds: float) -> int:
    """Tokens of text that so much audio can hold."""
    return MIN_TOKENS + round(TOKENS_PER_S * seconds)


def check(work: Recognize) -> None:
    if work.language is not None and work.language not in LANGUAGES:
        raise UnsupportedLanguageError(f"Qwen3-ASR does not know the language {work.language!r}", param="language")
    if len(work.audio) > MAX_AUDIO_S * SAMPLE_RATE:
        raise AudioTooLongError(
            f"backend 'qwen' takes {MAX_AUDIO_S:.0f} s at once, this is {len(work.audio) / SAMPLE_RATE:.1f} s"
        )
