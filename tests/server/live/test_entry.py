"""Who gets in, for how long, and how a session ends that the client did not end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import websockets

from running import STOP_S, RunningServer, until
from talking import BYTES_PER_S, pcm_file, said, talk

CLOSE_S = 10.0
"""A server that reads no more of a client takes so long to give it up, unless it sees that the client is done."""
KEYS = {"API_KEYS": "first,second", "MAX_SESSIONS_PER_KEY": "2"}


@pytest.fixture(scope="module")
def keyed() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted", **KEYS) as server:
        yield server


@pytest.fixture(scope="module")
def unkeyed() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted") as server:
        yield server


def bearer(key: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {key}")]


@pytest.mark.parametrize("key", [None, "wrong-key"])
async def test_a_client_without_a_valid_key_is_refused_in_http(keyed: RunningServer, key: str | None) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with talk(keyed, headers=bearer(key) if key else []):
            pass
    answer = refused.value.response
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    said = json.loads(answer.body or b"")
    assert (said["status"], said["code"], said["statusCode"]) == ("error", "INVALID_API_KEY", 401)
    assert "wrong-key" not in str(said)


async def test_a_page_without_a_valid_key_reads_over_the_socket_why(keyed: RunningServer) -> None:
    async with talk(keyed, headers=[("Origin", "https://captions.example")]) as conversation:
        began = time.monotonic()
        await conversation.until_closed()
    assert [message["code"] for message in conversation.messages] == ["INVALID_API_KEY"]
    assert conversation.socket.close_code == 1008
    assert time.monotonic() - began < CLOSE_S, "the server answers the client's close frame by hanging up"


async def test_what_a_refused_page_sends_is_not_read(keyed: RunningServer) -> None:
    """It gets no pong: nothing of it reaches the parser."""
    async with talk(keyed, headers=[("Origin", "https://captions.example")]) as conversation:
        with contextlib.suppress(websockets.ConnectionClosed):
            for _ in range(1000):
                await conversation.socket.send("x" * 100_000)
        await conversation.until_closed()
    assert conversation.socket.close_code in (1008, 1006)
    assert keyed.health()["worker_alive"]


async def test_a_key_may_come_in_the_header_in_the_query_or_as_a_subprotocol(keyed: RunningServer) -> None:
    async with talk(keyed, headers=bearer("first")) as by_header, talk(keyed, api_key="second") as by_query:
        for conversation in (by_header, by_query):
            assert conversation.messages[0]["status"] == "connected"
    url = keyed.url.replace("http", "ws") + "/ws/transcribe"
    async with websockets.connect(url, subprotocols=["steno", "steno-key.first"]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "steno"
        assert '"connected"' in str(await socket.recv())


async def test_keys_in_a_query_do_not_reach_the_log(keyed: RunningServer) -> None:
    async with talk(keyed, api_key="second"):
        pass
    assert "second" not in keyed.log().replace("seconds", "")


async def test_a_key_has_so_many_sessions_and_no_more(keyed: RunningServer) -> None:
    async with talk(keyed, headers=bearer("first")), talk(keyed, headers=bearer("first")) as second:
        async with talk(keyed, headers=bearer("first")) as third:
            await third.until_closed()
        assert third.messages[0]["code"] == "OVERLOADED"
        assert third.messages[0]["retry_after_s"] >= 1
        assert third.socket.close_code == 1013
        async with talk(keyed, headers=bearer("second")) as other:
            assert other.messages[0]["status"] == "connected"
        await second.close()
    async with talk(keyed, headers=bearer("first")) as again:
        assert again.messages[0]["status"] == "connected"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://[broken"])
async def test_a_page_of_another_site_is_refused(unkeyed: RunningServer, origin: str) -> None:
    async with talk(unkeyed, headers=[("Origin", origin)]) as conversation:
        await conversation.until_closed()
    assert conversation.messages[0]["code"] == "FORBIDDEN_ORIGIN"


async def test_a_page_of_the_same_host_is_let_in_at_any_port(unkeyed: RunningServer) -> None:
    async with talk(unkeyed, headers=[("Origin", "http://127.0.0.1:3000")]) as conversation:
        assert conversation.messages[0]["status"] == "connected"


async def test_a_page_that_knows_a_key_is_let_in(keyed: RunningServer) -> None:
    headers = [("Origin", "https://captions.example"), *bearer("second")]
    async with talk(keyed, headers=headers) as conversation:
        assert conversation.messages[0]["status"] == "connected"


async def test_allowed_origins_are_exactly_those() -> None:
    with RunningServer(ASR_BACKEND="scripted", API_KEYS="k", ALLOWED_ORIGINS="https://captions.example") as server:
        async with talk(server, headers=[("Origin", "https://captions.example"), *bearer("k")]) as conversation:
            assert conversation.messages[0]["status"] == "connected"
        async with talk(server, headers=[("Origin", "https://other.example"), *bearer("k")]) as conversation:
            await conversation.until_closed()
        assert conversation.messages[0]["code"] == "FORBIDDEN_ORIGIN"


async def test_more_sessions_than_there_are_places_are_told_when_to_come_back() -> None:
    with RunningServer(ASR_BACKEND="scripted", MAX_SESSIONS="1") as server:
        async with talk(server), talk(server) as second:
            await second.until_closed()
    assert second.messages[0]["code"] == "OVERLOADED"
    assert second.socket.close_code == 1013


async def test_an_idle_session_is_closed_with_what_it_said(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND="scripted", SESSION_IDLE_S="1.5") as server:
        async with talk(server) as conversation:
            await conversation.say(pcm_file(fixtures / "weather.flac")[: 2 * BYTES_PER_S])
            await conversation.until_closed()
    assert conversation.finals
    assert conversation.messages[-1]["code"] == "SESSION_ENDED"
    assert conversation.socket.close_code == 1001


@pytest.mark.slow
async def test_pings_keep_a_session_open() -> None:
    with RunningServer(ASR_BACKEND="scripted", SESSION_IDLE_S="3") as server:
        async with talk(server) as conversation:
            for _ in range(8):
                await asyncio.sleep(0.5)
                await conversation.send({"action": "ping"})
                await conversation.next(status="pong")


async def test_a_session_has_an_end() -> None:
    with RunningServer(ASR_BACKEND="scripted", SESSION_MAX_S="1") as server:
        async with talk(server) as conversation:
            talking = asyncio.create_task(conversation.say(bytes(10 * BYTES_PER_S), pace=1))
            await conversation.until_closed()
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
    assert conversation.messages[-1]["code"] == "SESSION_ENDED"
    assert conversation.socket.close_code == 1001


@pytest.mark.parametrize("granian", ["false", "true"])
async def test_a_server_that_shuts_down_finishes_what_was_said_and_says_goodbye(fixtures: Path, granian: str) -> None:
    with RunningServer(ASR_BACKEND="scripted", USE_GRANIAN=granian) as server:
        async with talk(server) as conversation:
            await conversation.say(pcm_file(fixtures / "weather.flac")[: 3 * BYTES_PER_S])
            while "w1" not in (await conversation.next(is_partial=True))["text"]:
                pass
            server.process.send_signal(signal.SIGTERM)
            await conversation.until_closed()
        assert server.process.wait(STOP_S) == 0
    assert conversation.finals[-1]["text"].startswith("w0 w1")
    assert conversation.messages[-1]["code"] == "DRAINING"
    # granian, when it is busy, may be gone before its close frame is; the farewell itself was said.
    assert conversation.socket.close_code in ({1012, 1006} if granian == "true" else {1012})


@pytest.mark.slow
async def test_what_is_said_after_the_signal_is_recognised_until_the_utterance_ends(fixtures: Path) -> None:
    speech = pcm_file(fixtures / "weather.flac")
    with RunningServer(ASR_BACKEND="scripted") as server:
        undisturbed = await said(server, speech + bytes(BYTES_PER_S))
        async with talk(server) as conversation:
            await conversation.say(speech[: 2 * BYTES_PER_S], pace=1)
            await conversation.next(is_partial=True)
            server.process.send_signal(signal.SIGTERM)
            told = await conversation.next(status="draining")
            talking = asyncio.create_task(conversation.say(speech[2 * BYTES_PER_S :] + bytes(BYTES_PER_S), pace=1))
            await conversation.until_closed()
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
        assert server.process.wait(STOP_S) == 0
    assert told["retry_after_s"] >= 1
    assert [final["text"] for final in conversation.finals] == [undisturbed.finals[0]["text"]]
    assert conversation.messages[-1]["code"] == "DRAINING"
    assert conversation.socket.close_code == 1012


@pytest.mark.slow
async def test_an_utterance_without_end_is_ended_before_the_drain_is_over(fixtures: Path) -> None:
    speech = pcm_file(fixtures / "weather.flac")[BYTES_PER_S // 2 : 3 * BYTES_PER_S] * 10
    with RunningServer(ASR_BACKEND="scripted", DRAIN_TIMEOUT="4") as server:
        async with talk(server) as conversation:
            talking = asyncio.create_task(conversation.say(speech, pace=1))
            await conversation.next(is_partial=True)
            server.process.send_signal(signal.SIGTERM)
            await conversation.until_closed()
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
        assert server.process.wait(STOP_S) == 0
    assert conversation.finals
    assert "error" not in conversation.finals[-1]
    assert conversation.messages[-1]["code"] == "DRAINING"


async def test_text_is_never_logged(unkeyed: RunningServer, fixtures: Path) -> None:
    async with talk(unkeyed) as conversation:
        await conversation.say(pcm_file(fixtures / "weather.flac"))
        await conversation.close()
    assert "w0 w1" in conversation.text
    until(lambda: "native session over (closed)" in unkeyed.log())  # a thread writes it
    assert "w0 w1" not in unkeyed.log()


async def test_the_last_final_comes_before_the_farewell(unkeyed: RunningServer, fixtures: Path) -> None:
    async with talk(unkeyed) as conversation:
        await conversation.say(pcm_file(fixtures / "weather.flac")[: 2 * BYTES_PER_S])
        await conversation.close()
    kinds = [
        message.get("status", "final" if message.get("is_final") else "partial") for message in conversation.messages
    ]
    assert kinds[-2:] == ["final", "closed"]
