"""Callbacks: signed, repeated until they are accepted, after a restart too, and never to where they may not go."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from http_thread import HttpThread
from steno.errors import SettingsError, UrlRefusedError
from steno.jobs.callbacks import CallbackSender, key_of
from steno.jobs.job import JobResult, StoredJob
from steno.jobs.job_store import JobStore
from steno.outbound.post import Poster
from steno.outbound.url_policy import policy_of

SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes ...").decode()
HOST = "127.0.0.2"


class Receiver:
    """Answers each POST with the next of `statuses`; the last of them again and again."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.received: list[tuple[dict[str, str], bytes]] = []

    def __enter__(self) -> Receiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                if status == 0:  # the connection ends without a response
                    return
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1/")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = HttpThread(Handler, HOST)
        self.url = f"{self._server.url}/done?for=me"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    store = JobStore(tmp_path / "jobs.db", tmp_path / "jobs")
    store.prepare()
    return store


def described(job: StoredJob) -> dict[str, Any]:
    return {"id": job.id, "state": job.state}


async def finished(store: JobStore, url: str) -> StoredJob:
    job = StoredJob("job_a", "me", "subtitles", {}, None, None, created=time.time(), callback_url=url)
    await store.new_folder(job.id)
    await store.add(job)
    await store.claim()
    await store.succeed(job.id, JobResult(b"text", "text/plain", {}, None))
    return job


async def sent(store: JobStore, until: int, pauses_s: tuple[float, ...] = (0.05, 0.05, 0.05)) -> StoredJob:
    """Run a sender until the job has had `until` attempts and none is due."""
    poster = Poster(policy_of(["http"], [HOST]), max_s=5.0)
    sender = CallbackSender(store, poster, SECRET, described, pauses_s)
    task = asyncio.create_task(sender.run())
    try:
        async with asyncio.timeout(15):
            while True:
                job = await store.get("job_a")
                assert job is not None
                if job.callback.attempts >= until and job.callback.next_attempt is None:
                    return job
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.wait([task])
        await poster.aclose()


async def test_a_receiver_that_fails_twice_gets_it_a_third_time_signed(store: JobStore) -> None:
    async with store:
        with Receiver(500, 0, 204) as receiver:
            await finished(store, receiver.url)
            job = await sent(store, 3)
    assert (job.callback.attempts, job.callback.problem) == (3, None)
    assert job.callback.delivered is not None
    assert len(receiver.received) == 3
    for headers, body in receiver.received:
        checked = Webhook(SECRET).verify(body, headers)
        assert checked == {"type": "job.succeeded", "data": {"id": "job_a", "state": "succeeded"}}
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body + b" ", headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body, {**headers, "webhook-timestamp": str(int(time.time()) + 1)})


async def test_a_receiver_that_never_accepts_is_given_up_and_the_job_says_why(store: JobStore) -> None:
    async with store:
        with Receiver(302) as receiver:
            await finished(store, receiver.url)
            job = await sent(store, 3, pauses_s=(0.02, 0.02))
    assert (job.callback.attempts, job.callback.problem, job.callback.delivered) == (3, "status 302", None)
    assert len(receiver.received) == 3, "redirects are not followed"


async def test_a_callback_that_was_not_delivered_is_sent_after_a_restart(store: JobStore, tmp_path: Path) -> None:
    with Receiver(200) as receiver:
        async with store:
            await finished(store, receiver.url)
        again = JobStore(tmp_path / "jobs.db", tmp_path / "jobs")
        async with again:
            assert (await sent(again, 1)).callback.delivered is not None


async def test_a_receiver_within_is_not_called(store: JobStore) -> None:
    poster = Poster(policy_of(["http", "s3"], [HOST, "bucket"]))
    for url in ("http://127.0.0.1:9/", "http://localhost:9/", "http://169.254.169.254/"):
        with pytest.raises(UrlRefusedError):
            await poster.post(url, b"{}", {})
    for url in ("s3://bucket/a", "file:///etc/passwd", "no url"):
        with pytest.raises(UrlRefusedError):
            poster.check(url)
    await poster.aclose()


def test_a_secret_that_promises_base64_is_checked() -> None:
    assert key_of("whsec_c2VjcmV0MQ") == key_of("whsec_c2VjcmV0MQ==") == b"secret1"
    with pytest.raises(SettingsError, match="not Base64"):
        key_of("whsec_not base 64!")


async def test_a_secret_that_is_no_base64_signs_with_its_own_bytes(store: JobStore) -> None:
    secret = "just some words"
    async with store:
        with Receiver(200) as receiver:
            job = await finished(store, receiver.url)
            poster = Poster(policy_of(["http"], [HOST]))
            task = asyncio.create_task(CallbackSender(store, poster, secret, described).run())
            async with asyncio.timeout(10):
                while not receiver.received:
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait([task])
            await poster.aclose()
    headers, body = receiver.received[0]
    assert Webhook(base64.b64encode(secret.encode()).decode()).verify(body, headers)["data"]["id"] == job.id
    assert json.loads(body) == {"type": "job.succeeded", "data": described(replace(job, state="succeeded"))}  # type: ignore[arg-type]
