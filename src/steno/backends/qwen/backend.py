"""Qwen3-ASR as a `StepBackend`: many pieces at once, a prefill or a decoding iteration of all of them in each step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loguru import logger

from steno.backends.base import Align, Capabilities, Finished, Gpu, Progress, Recognize
from steno.backends.qwen.prompt import LANGUAGES
from steno.errors import AudioTooLongError, BackendError, BackendUnavailableError, UnsupportedLanguageError
from steno.types import SAMPLE_RATE, Hypothesis

if TYPE_CHECKING:
    import torch

    from steno.backends.base import Work
    from steno.backends.qwen.aligner import QwenAligner
    from steno.backends.qwen.decoder import Choice
    from steno.backends.qwen.machine import Machine
    from steno.backends.qwen.options import LoadOptions
    from steno.backends.registry import BackendOptions
    from steno.errors import StenoError

DEFAULT_MODEL = "Qwen/Qwen3-ASR-0.6B"
CPU_SLOTS, GPU_SLOTS = 8, 32
MAX_AUDIO_S = 40.0

TOKENS_PER_S = 30
"""Twice what fast Greek or Hindi has, where a token is about a letter; English has three. Only loops pay for it."""

MIN_TOKENS = 24
"""For the language and a word."""

AUDIO_TOKENS_PER_S = 13
PROMPT_TOKENS = 64 + round(AUDIO_TOKENS_PER_S * MAX_AUDIO_S)
"""Of the longest audio, without its context."""

PREFILL_TOKENS = {"cuda": 8192, "cpu": 1024}
"""In one step, padding included: what else is decoded waits so long."""

PATIENCE = 8
"""Live work goes before the rest; what was passed over so often waits no longer."""

LIKE_LENGTHS = 1.3
"""Prompts in one prefill are padded to the longest: those that are longer by more go into another."""


@dataclass(slots=True, eq=False)
class _Row:
    """A piece of work on its way through the model."""

    work: Recognize
    context: str
    slot: int
    prompt_tokens: int
    """Around the audio's, context included."""
    audio: torch.Tensor | None = None
    """Its embeddings, once it has been encoded."""
    tokens: list[int] = field(default_factory=list)
    certainty: list[float] = field(default_factory=list)
    passed_over: int = 0
    """Prefills that it had to wait for."""
    doubted: Hypothesis | None = None
    """A text that stands in its context, while the audio is heard again without one."""


class QwenBackend:
    """See `Capabilities` for what it can do.

    Args:
        options: which checkpoint, and where it runs.
        slots: pieces that are decoded together.
        aligner: finds word times; None = this backend has none.
    """

    name = "qwen"
    capabilities: Capabilities

    def __init__(self, options: LoadOptions, slots: int, aligner: QwenAligner | None = None) -> None:
        self.model_id = options.model_id
        self.slots = slots
        self.aligner = aligner
        self.capabilities = Capabilities(
            languages=frozenset(LANGUAGES),
            live=False,
            word_times=False,
            alignment=aligner is not None,
            context=True,
            rejects_non_speech=True,
            max_audio_s=MAX_AUDIO_S,
        )
        self._options = options
        self._machine: Machine | None = None
        self._free = sorted(range(slots), reverse=True)
        self._rows: dict[Recognize, _Row] = {}
        self._waiting: list[_Row] = []
        self._silent: list[Recognize] = []
        self._has_prefilled = False

    @property
    def device(self) -> str:
        machine = self._machine  # another thread may unload it between two looks
        return str(machine.device) if machine else self._options.device

    def gpu(self) -> Gpu | None:
        from steno.backends.qwen.memory import gpu_of

        machine = self._machine
        return gpu_of(machine.device) if machine else None

    def load(self, progress: Progress) -> None:
        """Raises ModelLoadError: which part of the checkpoint is missing, broken or not Qwen3-ASR's."""
        from steno.backends.qwen.machine import Machine

        def report(done: float, what: str) -> None:
            progress(0.9 * done, what)

        machine = Machine.load(self._options, self.slots, PROMPT_TOKENS + token_limit(MAX_AUDIO_S), report)
        progress(0.9, "warming up")
        machine.warm_up()
        self._machine = machine
        progress(1.0, "ready")

    def unload(self) -> None:
        from steno.backends.qwen.memory import give_back

        self._machine = None
        give_back()

    def admit(self, work: Work) -> None:
        """Raises UnsupportedLanguageError, AudioTooLongError."""
        if isinstance(work, Align):
            self._the_aligner().admit(work)
            return
        check(work)
        if not work.audio.any():
            self._silent.append(work)
            return
        prompter = self._loaded().prompter
        context = prompter.clean(work.context)
        around = sum(len(ids) for ids in prompter.around(context, work.language))
        row = _Row(work, context, self._free.pop(), around)
        self._rows[work] = row
        self._waiting.append(row)

    def step(self) -> Sequence[Finished]:
        finished = [Finished(work, Hypothesis("", None)) for work in self._silent]
        self._silent.clear()
        if self.aligner is not None:
            finished += self.aligner.step()
        can_decode = len(self._rows) > len(self._waiting)
        self._has_prefilled = bool(self._waiting) and not (self._has_prefilled and can_decode)
        if self._has_prefilled:
            return finished + self._prefill()
        return finished + self._decode() if can_decode else finished

    def release(self, work: Work) -> None:
        if isinstance(work, Align):
            if self.aligner is not None:
                self.aligner.release(work)
        elif work in self._silent:
            self._silent.remove(work)
        elif (row := self._rows.pop(work, None)) is not None:
            self._free_slot(row)

    def forget(self, utterance: str) -> None:
        """Nothing is kept of an utterance between its steps."""

    def max_tokens(self, work: Recognize) -> int:
        """How long its text may become."""
        return token_limit(len(work.audio) / SAMPLE_RATE)

    def _prefill(self) -> list[Finished]:
        """A failure, for want of memory most likely, is that of this batch alone."""
        batch = self._next_batch(PREFILL_TOKENS["cuda" if self._loaded().device.type == "cuda" else "cpu"])
        self._waiting = [row for row in self._waiting if row not in batch]
        for row in self._waiting:
            row.passed_over += 1
        try:
            return self._take(zip(batch, self._prefilled(batch), strict=True))
        except Exception as error:  # noqa: BLE001 - a boundary: logged, and delivered to those whom it concerns
            logger.opt(exception=error).error("a prefill of {} pieces failed: {}", len(batch), error)
            for row in batch:
                self.release(row.work)
            lost = BackendError("the recogniser failed on this audio; the server's log has the reason")
            return [Finished(row.work, lost) for row in batch]

    def _prefilled(self, batch: Sequence[_Row]) -> list[Choice]:
        machine = self._loaded()
        new = [row for row in batch if row.audio is None]
        for row, audio in zip(new, machine.encode([row.work.audio for row in new]), strict=True):
            row.audio = audio
        asked = [(row.slot, row.audio, row.context, row.work.language) for row in batch if row.audio is not None]
        return machine.prefill(asked)

    def _decode(self) -> list[Finished]:
        decoding = {row.slot: row for row in self._rows.values() if row.tokens}
        chosen = self._loaded().decode({slot: row.tokens[-1] for slot, row in decoding.items()})
        return self._take((decoding[slot], choice) for slot, choice in chosen.items())

    def _take(self, chosen: Iterable[tuple[_Row, Choice]]) -> list[Finished]:
        """A token more for each row; those that have come to their end are finished."""
        finished: list[Finished] = []
        for row, (token, certainty) in chosen:
            ends = token in self._loaded().ends
            if not ends:
                row.tokens.append(token)
                row.certainty.append(certainty)
            is_full = len(row.tokens) >= self.max_tokens(row.work)
            if not (ends or is_full or math.isnan(certainty)):
                continue
            if is_full:
                logger.warning("a text was cut off after {} tokens; is it a loop?", len(row.tokens))
            outcome = self._outcome(row, certainty)
            if outcome is not None:
                del self._rows[row.work]
                self._free_slot(row)
                finished.append(Finished(row.work, outcome))
        return finished

    def _outcome(self, row: _Row, certainty: float) -> Hypothesis | StenoError | None:
        """What was heard, or why nothing was; None where it has to be heard again."""
        if math.isnan(certainty):
            logger.error("the model computed no numbers for a piece of {} samples", len(row.work.audio))
            return BackendError("the model computed no numbers for this audio; DTYPE=float32 may mend it")
        try:
            return self._read(row)
        except Exception as error:  # noqa: BLE001 - a boundary: logged, and delivered to the one whom it concerns
            logger.opt(exception=error).error("a text could not be read: {}", error)
            return BackendError("the recogniser's text could not be read; the server's log has the reason")

    def _read(self, row: _Row) -> Hypothesis | None:
        """What was heard; None where it has to be heard again.

        A text that stands in the context may have leaked from it. So the audio is heard again without any; if that
        says something else, it is what was said.
        """
        from steno.backends.qwen.text import confirms, repeats_context

        heard = self._loaded().reader.read(row.tokens, row.certainty, row.work.language)
        if row.doubted is not None:
            return row.doubted if confirms(heard.text, row.doubted.text) else heard
        if not (row.context and repeats_context(heard.text, row.context)):
            return heard
        row.doubted, row.context = heard, ""
        row.tokens.clear()
        row.certainty.clear()
        self._waiting.append(row)
        return None

    def _next_batch(self, budget: int) -> list[_Row]:
        """The first that waits, live before the rest, and those of like length, as many as fit."""
        self._waiting.sort(key=lambda row: row.work.utterance is None and row.passed_over < PATIENCE)
        first = self._waiting[0]
        fitting = sorted(self._waiting[1:], key=lambda row: abs(len(row.work.audio) - len(first.work.audio)))
        batch = [first]
        for row in fitting:
            lengths = [len(one.work.audio) for one in (*batch, row)]
            longest = max(lengths) / SAMPLE_RATE * AUDIO_TOKENS_PER_S + max(one.prompt_tokens for one in (*batch, row))
            padded = longest * len(lengths)
            if max(lengths) > LIKE_LENGTHS * max(min(lengths), SAMPLE_RATE) or padded > budget:
                break
            batch.append(row)
        return batch

    def _free_slot(self, row: _Row) -> None:
        if row in self._waiting:
            self._waiting.remove(row)
        self._free.append(row.slot)
        self._free.sort(reverse=True)

    def _loaded(self) -> Machine:
        if self._machine is None:
            raise BackendUnavailableError("backend 'qwen' is not loaded")
        return self._machine

    def _the_aligner(self) -> QwenAligner:
        if self.aligner is None:
            raise BackendUnavailableError("backend 'qwen' has no aligner; set FORCED_ALIGNER_ID")
        return self.aligner


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


def create(options: BackendOptions) -> QwenBackend:
    """For the registry."""
    from steno.backends.qwen.aligner import QwenAligner
    from steno.backends.qwen.options import LoadOptions

    where = (options.allowlist, options.device, options.dtype, options.hf_home)
    model = LoadOptions(options.model_id or DEFAULT_MODEL, options.revision, *where, options.quantize)
    aligner = QwenAligner(LoadOptions(options.aligner_id, None, *where)) if options.aligner_id else None
    return QwenBackend(model, options.slots or default_slots(options.device), aligner)


def default_slots(device: str) -> int:
    """As many as a GPU decodes at nearly the cost of one; a CPU has less to gain. `device` as in the settings."""
    from steno.backends.qwen.device import has_gpu

    return GPU_SLOTS if device.startswith("cuda") or (device == "auto" and has_gpu()) else CPU_SLOTS
