"""One server of the pool: what it serves, whether it is up, its requests, and the windows that it has cached."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from loguru import logger

from steno.backends.base import ServerStatus
from steno.backends.vllm.generate_wire import GENERATE
from steno.backends.vllm.http_connection import HttpConnection
from steno.backends.vllm.inspection import Served, inspect, message_of
from steno.backends.vllm.server_errors import KeyRefusedError, RequestRefusedError, ServerFailedError, ServerLostError
from steno.backends.vllm.token_generator import Generation
from steno.backends.vllm.transcriptions_wire import TRANSCRIPTIONS, form_of, text_of

if TYPE_CHECKING:
    from steno.backends.vllm.generate_wire import GenerateWire, HashedRequest
    from steno.backends.vllm.vllm_options import RemoteOptions

HEALTH_S = 5.0
"""Time limit of a health check."""
INSPECT_S = 20.0
"""Time limit of the first look at a server, which includes a request of one token."""
REQUEST_S = 300.0
"""Time limit of a request: one that waits so long for its turn is sent to another server."""
MAX_LATE = 2
"""Health checks in a row that may be late before the server counts as down: a busy one responds late."""
MAX_KNOWN = 4096
"""Hashes remembered. vLLM's cache holds 4 GiB by default: some 10,000 windows."""
MAX_MISSES = 3
"""Times in a row that the server did not have what it was sent, after which all windows are sent: behind the address
are several processes, each with a cache of its own."""


class VllmServer:
    """Call `open` before anything else."""

    def __init__(self, url: str, options: RemoteOptions, wire: GenerateWire) -> None:
        self.url = url
        self.pinned = 0
        """Live utterances whose caches are here."""
        self.requests = 0
        self.checks = 0
        """Health checks so far."""
        self.problem: str | None = "was not checked yet"
        """Why it is down; None = it is up."""
        self.check_requested = asyncio.Event()
        self.refuses_key = False
        self._options = options
        self._wire = wire
        self._connection: HttpConnection | None = None
        self._served: Served | None = None
        self._limits: set[asyncio.Timeout] = set()
        """Of the requests in flight."""
        self._known: OrderedDict[str, None] = OrderedDict()
        self._misses = self._late = 0
        self._said: str | None = None

    @property
    def is_up(self) -> bool:
        return self.problem is None

    @property
    def is_exact(self) -> bool:
        """Whether it takes tokens and windows; else it transcribes whole pieces."""
        return self._served is not None and self._served.is_exact

    @property
    def load(self) -> int:
        return self.pinned + len(self._limits)

    def status(self) -> ServerStatus:
        path = None if self._served is None else "generate" if self.is_exact else "transcriptions"
        is_checked = self._connection is not None and self.checks > 0
        return ServerStatus(self.url, self.is_up, path, self.requests, self.problem, is_checked)

    def open(self) -> None:
        self._connection = HttpConnection(self.url, self._options.api_key, self._options.slots + 2)

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        self._known.clear()
        self._served, self.problem = None, "is not in use"
        if connection is not None:
            await connection.aclose()

    async def check(self) -> None:
        """Find out whether it is up; never raises for a server that is not."""
        self.check_requested.clear()
        try:
            async with asyncio.timeout(HEALTH_S):
                await self._check_health()
            self._late = 0
            if not self.is_up:
                await self._inspect()
        except TimeoutError:
            self._late += 1
            if not self.is_up or self._late >= MAX_LATE:
                self._went_down("does not answer")
        except ServerFailedError as error:
            self.refuses_key = isinstance(error, KeyRefusedError)
            self._went_down(error.message)
        self.checks += 1

    async def generate(self, hashed: HashedRequest) -> Generation:
        """
        Raises:
            ServerFailedError: another server may succeed.
            RequestRefusedError: none would.
        """
        self.requests += 1
        try:
            with self._in_flight(asyncio.timeout(REQUEST_S)) as limit:
                async with limit:
                    return await (self._generate(hashed) if self.is_exact else self._transcribe(hashed))
        except TimeoutError:
            self.check_requested.set()
            raise ServerLostError(self.problem or f"did not answer within {REQUEST_S:g} s") from None
        except ServerFailedError as error:
            if isinstance(error, KeyRefusedError):
                self._went_down(error.message)
            self.check_requested.set()
            raise

    @contextmanager
    def _in_flight(self, limit: asyncio.Timeout) -> Iterator[asyncio.Timeout]:
        self._limits.add(limit)
        try:
            yield limit
        finally:
            self._limits.discard(limit)

    async def _generate(self, hashed: HashedRequest) -> Generation:
        known: frozenset[str] = frozenset()
        if self._misses < MAX_MISSES:
            known = frozenset(hash_ for hash_ in hashed.hashes if hash_ in self._known)
        status, answer = await self._send(hashed, known)
        if known and status >= 400 and status not in (403, 404, 405):
            logger.debug("{} did not have windows that it was sent before ({})", self.url, status)
            self._misses += 1
            self._forget(known)
            status, answer = await self._send(hashed, frozenset())
        elif known:
            self._misses = 0
        self._check_status(status, answer, GENERATE)
        generation = await asyncio.to_thread(self._wire.read, answer, hashed.request.max_tokens)
        self._remember(hashed.hashes)
        return generation

    async def _send(self, hashed: HashedRequest, known: frozenset[str]) -> tuple[int, bytes]:
        connection, served = self._in_use()
        body = await asyncio.to_thread(self._wire.body, hashed, served.model, known, priorities=served.has_priorities)
        return await connection.post_json(GENERATE, body)

    async def _transcribe(self, hashed: HashedRequest) -> Generation:
        connection, served = self._in_use()
        form = await asyncio.to_thread(form_of, hashed.request.work, served.model)
        status, answer = await connection.post_form(TRANSCRIPTIONS, form)
        self._check_status(status, answer, TRANSCRIPTIONS)
        return Generation((), (), text_of(answer))

    def _check_status(self, status: int, answer: bytes, path: str) -> None:
        if status == 200:
            return
        text = f"answered {path} with {status}: {message_of(answer)}"
        if status in (403, 404, 405):  # restarted with another model, or without the endpoint
            self._went_down(text)
            raise ServerLostError(text)
        if status < 500 and status != 429:
            logger.error("{} {}", self.url, text)
            raise RequestRefusedError("vLLM refused the request; the server's log has the reason")
        raise ServerFailedError(text)

    async def _check_health(self) -> None:
        if self._connection is None:
            raise ServerLostError("is not in use")
        status, _ = await self._connection.get("/health")
        if status != 200:
            raise ServerLostError(f"answered /health with {status}")

    async def _inspect(self) -> None:
        assert self._connection is not None
        async with asyncio.timeout(INSPECT_S):
            served = await inspect(self._connection, self._options.model.model_id, self._wire)
        self._served, self.problem = served, None
        self._misses = 0
        self.refuses_key = False
        logger.info("vLLM server {} is up, model {}", self.url, served.model)
        said = served.warning
        if said is not None and said != self._said:
            logger.warning("vLLM server {} {}", self.url, said)
        self._said = said

    def _went_down(self, problem: str) -> None:
        """End its requests, which are then sent to another server."""
        if self.is_up or problem != self.problem:
            logger.warning("vLLM server {} is down: it {}", self.url, problem)
        self.problem = problem
        self._known.clear()
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            limit.reschedule(now)

    def _in_use(self) -> tuple[HttpConnection, Served]:
        if self._connection is None or self._served is None:
            raise ServerLostError(self.problem or "is not in use")
        return self._connection, self._served

    def _remember(self, hashes: Iterable[str]) -> None:
        for hash_ in hashes:
            self._known[hash_] = None
            self._known.move_to_end(hash_)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def _forget(self, hashes: Iterable[str]) -> None:
        for hash_ in hashes:
            self._known.pop(hash_, None)
