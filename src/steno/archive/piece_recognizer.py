"""Recognises the pieces of recordings: the seam between an archive and an engine, or a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from steno.alignment.confidence import scored
from steno.archive.manifest import ModelIdentity
from steno.backends.aligners.base import Align
from steno.backends.base import Recognize
from steno.engine.front import Engine
from steno.engine.queue import Priority
from steno.engine.ticket import Ticket
from steno.pipelines.noise import without_noise
from steno.pipelines.request_checks import check_language

if TYPE_CHECKING:
    from steno.types import Audio, Hypothesis, Word


class PieceSession(Protocol):
    """The work on one recording. Calls may be cancelled."""

    async def recognize(self, audio: Audio, language: str | None, speech_s: float) -> Hypothesis:
        """Recognise one piece, in which speech of `speech_s` was detected. Raises StenoError."""

    async def align(self, audio: Audio, hypothesis: Hypothesis) -> tuple[Word, ...] | None:
        """Word times of the text of a piece; None = no aligner supports its language. Raises StenoError."""

    def timings_s(self) -> dict[str, float]:
        """The seconds of the calls that have ended, by stage, as in `stage_times`; pieces at once are summed."""


class PieceRecognizer(Protocol):
    @property
    def model(self) -> ModelIdentity: ...

    @property
    def aligner(self) -> ModelIdentity | None:
        """None = hypotheses have word times, or nothing gives them."""

    @property
    def parallel(self) -> int:
        """How many pieces of one recording should be in progress at once."""

    def check_language(self, language: str | None) -> str | None:
        """Return the language as an ISO 639-1 code; None = detect. Raises UnsupportedLanguageError."""

    def session(self) -> AbstractAsyncContextManager[PieceSession]:
        """Leaving it cancels its calls."""


class EngineRecognizer:
    """An engine of this process, or one that workers have.

    Args:
        revision: of the model, as far as it is known.
    """

    def __init__(self, engine: Engine, revision: str | None = None) -> None:
        self._engine = engine
        self._revision = revision

    @property
    def model(self) -> ModelIdentity:
        backend = self._engine.backend
        return ModelIdentity(backend=backend.name, id=backend.model_id, revision=self._revision)

    @property
    def aligner(self) -> ModelIdentity | None:
        aligner = self._engine.aligner
        return ModelIdentity(backend=aligner.name, id=aligner.model_id) if aligner is not None else None

    @property
    def parallel(self) -> int:
        return self._engine.parallelism

    def check_language(self, language: str | None) -> str | None:
        return check_language(language, self._engine.capabilities, self._engine.backend.name)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[PieceSession]:
        async with self._engine.admit(Priority.BULK) as ticket:
            yield _EngineSession(self._engine, ticket)


class _EngineSession:
    def __init__(self, engine: Engine, ticket: Ticket) -> None:
        self._engine = engine
        self._ticket = ticket

    async def recognize(self, audio: Audio, language: str | None, speech_s: float) -> Hypothesis:
        hypothesis = await self._ticket.recognize(Recognize(audio, language, words=True))
        return without_noise(hypothesis, speech_s, self._engine.capabilities.noise_confidence)

    async def align(self, audio: Audio, hypothesis: Hypothesis) -> tuple[Word, ...] | None:
        if not self._engine.aligns(hypothesis.language):
            return None
        alignment = await self._ticket.align(Align(audio, hypothesis.text, hypothesis.language))
        return scored(alignment.words, hypothesis.text, hypothesis.scores)

    def timings_s(self) -> dict[str, float]:
        ticket = self._ticket
        seconds = {"load": ticket.load_s, "wait": ticket.queue_s, "recognize": ticket.busy_s, "align": ticket.align_s}
        return {stage: each for stage, each in seconds.items() if each}
