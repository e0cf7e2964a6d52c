"""Tells the clients' servers about jobs that have ended: a signed POST, repeated until it is accepted.

The signature is that of Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and body.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from loguru import logger

from steno.errors import JobStorageError, SettingsError, StenoError
from steno.jobs.alarm import Alarm
from steno.jobs.job import StoredJob
from steno.jobs.job_store import JobStore

if TYPE_CHECKING:
    from steno.outbound.post import Poster

PAUSES_S = (5.0, 30.0, 300.0, 1800.0, 7200.0, 21600.0)
"""Before the second attempt, the third, …; after the last of them there is no further one."""
IDLE_S = 60.0
AT_ONCE = 8
PREFIX = "whsec_"
"""Of secrets that are Base64, as Standard Webhooks writes them."""


class CallbackSender:
    """Use `run` as a task.

    Args:
        describe: the JSON of a job, as clients get it.
        pauses_s: see `PAUSES_S`.
    """

    def __init__(
        self,
        store: JobStore,
        poster: Poster,
        secret: str,
        describe: Callable[[StoredJob], dict[str, Any]],
        pauses_s: tuple[float, ...] = PAUSES_S,
    ) -> None:
        self._store = store
        self._poster = poster
        self._key = key_of(secret)
        self._describe = describe
        self._pauses_s = pauses_s
        self._alarm = Alarm(IDLE_S)

    def wake(self) -> None:
        """A job has ended."""
        self._alarm.ring()

    async def run(self) -> None:
        while True:
            self._alarm.clear()
            try:
                due = await self._store.due_callbacks(AT_ONCE)
                await asyncio.gather(*(self._send(job) for job in due))
                upcoming = await self._store.next_callback()
            except JobStorageError as error:
                logger.error("{}", error.message)
                upcoming = None
            await self._alarm.wait(upcoming)

    async def _send(self, job: StoredJob) -> None:
        assert job.callback_url is not None
        problem = None
        try:
            body = json.dumps({"type": f"job.{job.state}", "data": self._describe(job)}).encode()
            status = await self._poster.post(job.callback_url, body, self._headers(job, body))
            if not 200 <= status < 300:
                problem = f"status {status}"
        except StenoError as error:
            problem = error.message
        state = replace(job.callback, attempts=job.callback.attempts + 1, problem=problem, next_attempt=None)
        if problem is None:
            state = replace(state, delivered=time.time())
        elif state.attempts <= len(self._pauses_s):
            state = replace(state, next_attempt=time.time() + self._pauses_s[state.attempts - 1])
        if problem is not None:
            logger.warning("job {}: callback attempt {} failed: {}", job.id, state.attempts, problem)
        await self._store.set_callback(job.id, state)

    def _headers(self, job: StoredJob, body: bytes) -> dict[str, str]:
        now = str(int(time.time()))
        return {"webhook-id": job.id, "webhook-timestamp": now, "webhook-signature": sign(self._key, job.id, now, body)}


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def key_of(secret: str) -> bytes:
    """The signing key of a secret: the bytes that `whsec_…` encodes, or those of the text itself.

    Raises:
        SettingsError: what follows `whsec_` is not Base64.
    """
    if not secret.startswith(PREFIX):
        return secret.encode()
    encoded = secret.removeprefix(PREFIX)
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        text = "CALLBACK_SECRET: what follows whsec_ is not Base64; expected whsec_ and Base64, or any other text"
        raise SettingsError(text, param="CALLBACK_SECRET") from None
