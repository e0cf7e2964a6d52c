"""The way in for uploads, message by message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from engine.virtual import SleepingBackend, run
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.local import local_engine
from steno.server.middleware.upload_admission import UploadAdmission, admitted_upload_of
from steno.server.middleware.upload_limits import UploadLimits

LIMITS = UploadLimits(max_bytes=1000, idle_s=30, least_bytes_per_s=0, max_per_client=2)
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Client:
    """Plays the server's part of ASGI: gives body parts when they are due, takes the answer.

    Args:
        parts: (seconds to wait, message) in turn; after them, silence.
    """

    def __init__(
        self,
        *parts: tuple[float, Message],
        path: str = "/v1/audio/transcriptions",
        length: int = 0,
        address: str = "192.0.2.1",
    ) -> None:
        self._parts = list(parts)
        headers = [(b"content-length", str(length).encode())] if length else []
        self.scope: Scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "client": (address, 1)}
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if not self._parts:
            await asyncio.Event().wait()
        wait_s, message = self._parts.pop(0)
        await asyncio.sleep(wait_s)
        return message

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def code(self) -> str:
        return str(json.loads(self.sent[1]["body"])["code"])


def body(size: int, *, more: bool) -> Message:
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


def ignore(receiving: int) -> None:
    """Takes the number of bodies that are being received, and does nothing."""


GONE: Message = {"type": "http.disconnect"}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that reads its body and answers; like FastAPI's, it answers errors of `receive` by itself."""
    try:
        text = f"{len(await Request(scope, receive).body())} bytes"
    except ClientDisconnect:
        raise
    except Exception:
        text = "the framework's own answer"
    await PlainTextResponse(text)(scope, receive, send)


def serve(client: Client, app: App = echo, max_waiting: int = 5) -> tuple[Engine, float]:
    """One request through the middleware, in virtual time; returns the engine after it, and how long it took."""

    async def main() -> tuple[Engine, float]:
        async with local_engine(SleepingBackend(), AdmissionLimits(max_waiting=max_waiting)) as engine:
            await UploadAdmission(app, engine, LIMITS, ignore)(client.scope, client.receive, client.send)
            assert engine.active == 0
            return engine, asyncio.get_running_loop().time()

    return run(main())


def test_a_body_reaches_the_app_and_its_answer_the_client() -> None:
    client = Client((0, body(400, more=True)), (20, body(600, more=False)))
    serve(client)
    assert client.sent[1]["body"] == b"1000 bytes"


def test_a_body_that_stops_coming_is_given_up() -> None:
    client = Client((0, body(10, more=True)))
    _, took = serve(client)
    assert (client.status, client.code) == (408, "upload_stalled")
    assert 30 <= took < 40


def test_a_body_over_the_limit_is_cut_off_where_it_passes_it() -> None:
    client = Client((0, body(600, more=True)), (0, body(600, more=True)), (0, body(600, more=False)))
    serve(client)
    assert (client.status, client.code) == (413, "audio_too_large")


def test_a_body_that_announces_too_much_is_refused_unread() -> None:
    client = Client((0, body(10, more=True)), length=1001)
    serve(client)
    assert (client.status, client.code) == (413, "audio_too_large")


def test_a_client_that_leaves_cancels_what_it_asked_for() -> None:
    ended: list[str] = []

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        admitted_upload_of(scope).cleanup.callback(ended.append, "cleaned up")
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    client = Client((0, body(10, more=False)), (5, GONE))
    _, took = serve(client, endless)
    assert ended == ["cancelled", "cleaned up"]
    assert (client.sent, took < 6) == ([], True)


def test_a_client_that_leaves_after_its_answer_does_not_cancel_what_follows_it() -> None:
    ended: list[str] = []

    async def tidy(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        await asyncio.sleep(10)
        ended.append("in peace")

    serve(Client((0, body(10, more=False)), (1, GONE)), tidy)
    assert ended == ["in peace"]


def test_an_app_that_fails_gives_its_place_back() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("oops")

    caught: list[Any] = []

    async def main() -> None:
        async with local_engine(SleepingBackend(), AdmissionLimits()) as engine:
            client = Client((0, body(10, more=False)))
            try:
                await UploadAdmission(failing, engine, LIMITS, ignore)(client.scope, client.receive, client.send)
            except RuntimeError as error:
                caught.append(str(error))
            assert engine.active == 0

    run(main())
    assert caught == ["oops"]


def test_other_routes_need_no_place() -> None:
    async def main() -> None:
        async with local_engine(SleepingBackend(workers=1), AdmissionLimits(max_waiting=0)) as engine, engine.admit():
            client = Client((0, body(10, more=False)), path="/v1/other")
            await UploadAdmission(echo, engine, LIMITS, ignore)(client.scope, client.receive, client.send)
            assert client.status == 200
            full = Client((0, body(10, more=False)))
            await UploadAdmission(echo, engine, LIMITS, ignore)(full.scope, full.receive, full.send)
            assert (full.status, full.code) == (429, "overloaded")

    run(main())


def test_a_body_that_drips_is_given_up_when_the_request_s_time_is_over() -> None:
    drips = [(20.0, body(1, more=True)) for _ in range(100)]
    client = Client(*drips)
    _, took = serve(client)
    assert (client.status, client.code) == (504, "deadline_exceeded")
    assert 600 <= took < 610


def test_an_upload_under_way_is_told_when_the_server_stops() -> None:
    async def main() -> None:
        async with local_engine(SleepingBackend(), AdmissionLimits()) as engine:
            client = Client((0, body(10, more=True)))
            serving = asyncio.create_task(
                UploadAdmission(echo, engine, LIMITS, ignore)(client.scope, client.receive, client.send)
            )
            await asyncio.sleep(1)
            engine.drain()
            await serving
            assert (client.status, client.code) == (503, "draining")

    run(main())


def test_bodies_under_way_take_no_places() -> None:
    async def main() -> None:
        async with local_engine(SleepingBackend(workers=1), AdmissionLimits(max_waiting=0)) as engine:
            counted: list[int] = []
            admission = UploadAdmission(echo, engine, LIMITS, counted.append)
            slow = [
                Client((0, body(1, more=True)), (25, body(1, more=False)), address=f"192.0.2.{n}") for n in range(9)
            ]
            sending = [asyncio.create_task(admission(one.scope, one.receive, one.send)) for one in slow]
            await asyncio.sleep(1)
            assert (engine.active, counted[-1]) == (0, 9)
            quick = Client((0, body(10, more=False)), address="198.51.100.1")
            await admission(quick.scope, quick.receive, quick.send)
            assert quick.status == 200
            await asyncio.gather(*sending)
            assert counted[-1] == 0

    run(main())


def test_who_finds_no_place_once_its_body_is_complete_is_refused_at_once() -> None:
    async def busy(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        await asyncio.sleep(60)
        await PlainTextResponse("done")(scope, receive, send)

    async def main() -> None:
        async with local_engine(SleepingBackend(workers=1), AdmissionLimits(max_waiting=0)) as engine:
            admission = UploadAdmission(busy, engine, LIMITS, ignore)
            parts = (0, body(1, more=True)), (5, body(1, more=False))
            first, second = Client(*parts, address="192.0.2.1"), Client(*parts, address="192.0.2.2")
            serving, refused = (
                asyncio.create_task(admission(one.scope, one.receive, one.send)) for one in (first, second)
            )
            await refused
            assert (second.status, second.code) == (429, "overloaded")
            assert asyncio.get_running_loop().time() < 5.1
            await serving
            assert first.status == 200

    run(main())


def test_a_client_may_send_so_many_bodies_at_once() -> None:
    async def main() -> None:
        async with local_engine(SleepingBackend(), AdmissionLimits()) as engine:
            admission = UploadAdmission(echo, engine, LIMITS, ignore)
            slow = [Client((0, body(1, more=True)), (20, body(1, more=False))) for _ in range(2)]
            sending = [asyncio.create_task(admission(one.scope, one.receive, one.send)) for one in slow]
            await asyncio.sleep(1)
            third, other = Client((0, body(1, more=False))), Client((0, body(1, more=False)), address="198.51.100.1")
            for client in (third, other):
                await admission(client.scope, client.receive, client.send)
            assert (third.status, third.code) == (429, "overloaded")
            assert other.status == 200
            await asyncio.gather(*sending)
            again = Client((0, body(1, more=False)))
            await admission(again.scope, again.receive, again.send)
            assert again.status == 200

    run(main())


def test_a_job_can_be_cancelled_by_a_client_at_its_limit_and_while_the_server_stops() -> None:
    async def main() -> None:
        async with local_engine(SleepingBackend(), AdmissionLimits()) as engine:
            admission = UploadAdmission(echo, engine, LIMITS, ignore)
            slow = [Client((0, body(1, more=True)), path="/v1/jobs/") for _ in range(2)]
            sending = [asyncio.create_task(admission(one.scope, one.receive, one.send)) for one in slow]
            await asyncio.sleep(1)
            job, cancel = (Client((0, body(1, more=False)), path=path) for path in ("/v1/jobs", "/v1/jobs/1/cancel"))
            for client in (job, cancel):
                await admission(client.scope, client.receive, client.send)
            assert (job.status, cancel.status) == (429, 200)
            engine.drain()
            await asyncio.gather(*sending)
            assert [client.status for client in slow] == [503, 503]
            cancel = Client((0, body(1, more=False)), path="/v1/jobs/1/cancel")
            await admission(cancel.scope, cancel.receive, cancel.send)
            assert cancel.status == 200

    run(main())


def test_a_body_that_comes_too_slowly_is_given_up() -> None:
    async def main() -> float:
        limits = UploadLimits(max_bytes=10**6, least_bytes_per_s=100, grace_s=10)
        async with local_engine(SleepingBackend(), AdmissionLimits()) as engine:
            drip = Client(*[(8.0, body(1, more=True))] * 100)
            await UploadAdmission(echo, engine, limits, ignore)(drip.scope, drip.receive, drip.send)
            assert (drip.status, drip.code) == (408, "upload_stalled")
            took = asyncio.get_running_loop().time()
            steady = Client(*[(8.0, body(1000, more=True))] * 20, (0, body(1, more=False)))
            await UploadAdmission(echo, engine, limits, ignore)(steady.scope, steady.receive, steady.send)
            assert steady.status == 200
            return took

    assert run(main()) < 20


def test_the_time_that_a_body_takes_is_the_request_s() -> None:
    left: list[float | None] = []

    async def measuring(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        left.append(admitted_upload_of(scope).ticket.time_left_s())
        await PlainTextResponse("")(scope, receive, send)

    serve(Client((20, body(1, more=True)), (10, body(1, more=False))), measuring)
    assert left == [570.0]
