"""The results of a job's pieces, kept until it ends: an interrupted job recognises no piece twice, and does not ask the
LLM that translates the same question again.

A piece is known by its audio and its options. The next attempt decodes and cuts the recording again, which takes a
hundredth of the time of recognition, gets the same pieces, and finds their results here. The same pieces make the same
text, and the same questions.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import fields
from typing import Any

from loguru import logger
from pydantic import TypeAdapter

from steno.backends.aligners.base import Align, Alignment
from steno.backends.base import Recognize
from steno.engine.queue import Result, Work
from steno.errors import JobStorageError
from steno.jobs.job_store import JobStore
from steno.types import Hypothesis

OUTCOMES: dict[type[Work], TypeAdapter[Any]] = {Recognize: TypeAdapter(Hypothesis), Align: TypeAdapter(Alignment)}


class PieceResults:
    """One job's; a `KnownResults` of its ticket."""

    def __init__(self, store: JobStore, job: str) -> None:
        self._store = store
        self._job = job
        self.found = 0
        """Pieces and questions whose results were known."""

    async def find(self, work: Work) -> Result | None:
        key = await asyncio.to_thread(_key_of, work)
        stored = await self._stored(key)
        if stored is None:
            return None
        result: Result = await asyncio.to_thread(OUTCOMES[type(work)].validate_json, stored)
        return result

    async def add(self, work: Work, result: Result) -> None:
        """A result that cannot be stored is logged: it costs time only if the job is interrupted."""
        key = await asyncio.to_thread(_key_of, work)
        outcome = await asyncio.to_thread(OUTCOMES[type(work)].dump_json, result)
        await self._keep(key, outcome.decode())

    async def find_answer(self, question: str) -> str | None:
        """None also if it cannot be looked up, which costs a question."""
        try:
            stored = await self._stored(_key_of_question(question))
        except JobStorageError as error:
            logger.warning("job {}: an answer cannot be looked up: {}", self._job, error.message)
            return None
        return None if stored is None else str(json.loads(stored))

    async def add_answer(self, question: str, answer: str) -> None:
        """As `add`."""
        await self._keep(_key_of_question(question), json.dumps(answer))  # an LLM may answer with lone surrogates

    async def _stored(self, key: bytes) -> str | None:
        stored = await self._store.piece(self._job, key)
        self.found += stored is not None
        return stored

    async def _keep(self, key: bytes, outcome: str) -> None:
        try:
            await self._store.add_piece(self._job, key, outcome)
        except JobStorageError as error:
            logger.warning("job {}: a piece is not kept: {}", self._job, error.message)


def _key_of(work: Work) -> bytes:
    options = [(each.name, getattr(work, each.name)) for each in fields(work) if each.name != "audio"]
    digest = hashlib.blake2b(repr((type(work).__name__, options)).encode(), digest_size=20)
    digest.update(work.audio.tobytes())
    return digest.digest()


def _key_of_question(question: str) -> bytes:
    return hashlib.blake2b(question.encode(errors="surrogatepass"), digest_size=20, person=b"question").digest()
