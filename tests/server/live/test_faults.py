"""Clients that are slow, broken, hostile or gone; children that die. The server stays healthy, others are untouched."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import websockets

from running import EMBEDDED, RunningServer, until
from steno.audio.decode import decode
from talking import BYTES_PER_S, parts, pcm_file, pcm_of, said, talk

SAMPLE_RATE = 16_000


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted", MODEL_ID="scripted@20ms", SESSION_IDLE_S="20") as server:
        yield server


@pytest.fixture(scope="module")
def sentence(fixtures: Path) -> bytes:
    return pcm_file(fixtures / "weather.flac")


def metric(server: RunningServer, name: str, **labels: str) -> float:
    """The value of a metric, added up over the labels that are not given."""
    total = 0.0
    for line in server.get("/metrics").text.splitlines():
        if line.partition("{")[0].partition(" ")[0] == name and all(f'{k}="{v}"' in line for k, v in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
    return total


def is_quiet(server: RunningServer) -> bool:
    return not any(
        metric(server, name) for name in ("steno_live_sessions", "steno_active_requests", "steno_running_jobs")
    )


@pytest.mark.slow
async def test_a_client_that_vanishes_in_the_middle_of_a_word_frees_its_place_at_once(sentence: bytes) -> None:
    with RunningServer(ASR_BACKEND="scripted", MODEL_ID="scripted@8000ms") as server:
        async with talk(server) as conversation:
            await conversation.say(sentence[: 2 * BYTES_PER_S])
            await asyncio.to_thread(until, lambda: metric(server, "steno_running_jobs") > 0)
            conversation.socket.transport.abort()
            await asyncio.to_thread(until, lambda: metric(server, "steno_live_sessions") == 0)
            await asyncio.to_thread(until, lambda: metric(server, "steno_active_requests") == 0)
            assert metric(server, "steno_running_jobs") > 0, "at once, and that is before the step is over"
        # The step that was under way could not be interrupted; its slot is released after it.
        await asyncio.to_thread(until, lambda: is_quiet(server))


async def test_others_are_untouched_when_a_client_vanishes(server: RunningServer, sentence: bytes) -> None:
    alone = await said(server, sentence)

    async def vanish() -> None:
        async with talk(server) as conversation:
            await conversation.say(sentence[: 2 * BYTES_PER_S])
            conversation.socket.transport.abort()

    other, *_ = await asyncio.gather(said(server, sentence), *(vanish() for _ in range(10)))
    assert [final["text"] for final in other.finals] == [final["text"] for final in alone.finals]
    await asyncio.to_thread(until, lambda: is_quiet(server))


async def test_a_client_that_closes_during_a_final_leaves_nothing(server: RunningServer, sentence: bytes) -> None:
    async with talk(server) as conversation:
        await conversation.say(sentence)
        await conversation.send({"action": "close"})
        await conversation.socket.close()
    await asyncio.to_thread(until, lambda: is_quiet(server))


@asynccontextmanager
async def chatter(server: RunningServer, message: str) -> AsyncIterator[None]:
    """A client that says `message` on and on and reads nothing. It goes without a farewell."""
    client = await websockets.connect(
        server.url.replace("http", "ws") + "/ws/transcribe", max_queue=1, ping_interval=None
    )
    await client.recv()
    # So small, and that late, that the system may discard acknowledgements too: then the client falls silent itself.
    client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    async def chat() -> None:
        while True:
            await client.send(message)

    chatting = asyncio.create_task(chat())
    try:
        yield
    finally:
        client.transport.abort()
        chatting.cancel()
        await asyncio.wait([chatting], timeout=5)
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("granian", ["false", "true"])
@pytest.mark.slow
async def test_a_client_that_reads_nothing_is_held_up_and_then_cut_off(granian: str) -> None:
    # granian stops reading, too, from a client that does not read: there it may be idleness that ends the session.
    with RunningServer(ASR_BACKEND="scripted", SLOW_READER_S="2", SESSION_IDLE_S="4", USE_GRANIAN=granian) as server:
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss
        async with chatter(server, '{"action": "config", "prompt": "' + "x" * 3000 + '"}'):
            await asyncio.to_thread(until, lambda: metric(server, "steno_live_endings_total") == 1)
            grown = process.memory_info().rss - before
        reasons = {"slow"} if granian == "false" else {"slow", "idle"}
        assert sum(metric(server, "steno_live_endings_total", reason=reason) for reason in reasons) == 1
        assert grown < 40e6
        assert server.health()["worker_alive"]
        await asyncio.to_thread(until, lambda: is_quiet(server))


@pytest.mark.slow
async def test_a_client_that_fell_silent_with_its_mail_unread_was_slow_and_not_idle() -> None:
    """What is left for it fits into the system's buffers: no message waits for it, and yet it has not read them."""
    with RunningServer(ASR_BACKEND="scripted", SLOW_READER_S="2", SESSION_IDLE_S="4") as server:
        host, port = server.url.removeprefix("http://").split(":")
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect((host, int(port)))
        url = f"{server.url.replace('http', 'ws')}/ws/transcribe"
        client = await websockets.connect(url, sock=narrow, max_queue=1, ping_interval=None)
        for _ in range(1500):  # the system accepts two segments of 64 KB even for a narrow buffer: send more than these
            await client.send('{"action": "ping", "id": "' + "x" * 200 + '"}')
        await asyncio.to_thread(until, lambda: metric(server, "steno_live_endings_total") == 1)
        assert metric(server, "steno_live_endings_total", reason="slow") == 1
        client.transport.abort()
        await asyncio.to_thread(until, lambda: is_quiet(server))


@pytest.mark.slow
async def test_a_client_that_reads_nothing_does_not_outlive_its_session() -> None:
    """The session's end comes while the client is held up: whoever waits for it must not wait for ever."""
    with RunningServer(ASR_BACKEND="scripted", SESSION_MAX_S="4", SLOW_READER_S="3") as server:
        async with chatter(server, '{"action": "ping", "id": "' + "x" * 3000 + '"}'):
            await asyncio.to_thread(until, lambda: metric(server, "steno_live_endings_total") == 1)
        await asyncio.to_thread(until, lambda: is_quiet(server))


@pytest.mark.slow
async def test_a_client_that_vanishes_while_it_is_held_up_is_noticed_soon(sentence: bytes) -> None:
    with RunningServer(ASR_BACKEND="scripted", MODEL_ID="scripted@1500ms") as server:
        async with talk(server) as conversation:
            saying = asyncio.create_task(conversation.say(sentence * 200, size=32_000))
            await asyncio.sleep(2)
            assert not saying.done()
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)
            conversation.socket.transport.abort()
            gone = time.monotonic()
            await asyncio.to_thread(until, lambda: metric(server, "steno_live_sessions") == 0)
            assert time.monotonic() - gone < 15  # a second, and some for a busy machine; no ping would tell so soon


async def test_a_connection_that_went_silent_is_given_up() -> None:
    with RunningServer(ASR_BACKEND="scripted", SESSION_IDLE_S="1") as server:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"GET /ws/transcribe HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b"101" in await reader.readline()
        await asyncio.to_thread(until, lambda: metric(server, "steno_live_endings_total", reason="idle") == 1)
        writer.close()
        await asyncio.to_thread(until, lambda: is_quiet(server))


async def test_random_bytes_are_noise_and_do_no_harm(server: RunningServer) -> None:
    for encoding in ("pcm_s16le", "pcm_f32le", "mulaw"):
        conversation = await said(server, os.urandom(200_001), size=7777, encoding=encoding)
        assert conversation.messages[-1]["status"] == "closed"
        assert conversation.errors == []


async def test_a_few_bad_frames_are_answered_and_end_nothing(server: RunningServer, sentence: bytes) -> None:
    async with talk(server) as conversation:
        for _ in range(8):
            await conversation.socket.send("AAAA" * 1000)
        await conversation.say(sentence)
        await conversation.close()
    assert len(conversation.errors) == 8
    assert conversation.finals


async def test_a_client_that_goes_on_sending_bad_frames_is_sent_away(server: RunningServer) -> None:
    async with talk(server) as conversation:
        with contextlib.suppress(websockets.ConnectionClosed):
            for _ in range(100):
                await conversation.socket.send("no JSON")
        await conversation.until_closed()
    assert 10 <= len(conversation.errors) <= 20
    assert "frames were wrong" in conversation.messages[-1]["message"]
    assert conversation.socket.close_code == 1008


async def test_a_text_frame_of_more_than_64_kib_ends_the_session(server: RunningServer) -> None:
    async with talk(server) as conversation:
        await conversation.send({"action": "config", "prompt": "x" * 60_000})
        assert "prompt" in (await conversation.next(status="error"))["message"]
        await conversation.send({"action": "ping", "id": "x" * 70_000})
        await conversation.until_closed()
    assert conversation.socket.close_code == 1009


async def test_bad_utf_8_ends_the_session_and_is_one_line_of_the_log() -> None:
    with RunningServer(ASR_BACKEND="scripted", LOG_LEVEL="INFO") as server:
        async with talk(server) as conversation:
            await conversation.socket.send(b"\xff\xfe", text=True)
            await conversation.until_closed()
        assert conversation.socket.close_code == 1007
        await asyncio.to_thread(until, lambda: "session over" in server.log())
    assert "Invalid UTF-8" in server.log()
    assert "Traceback" not in server.log()


async def test_a_message_larger_than_any_may_be_ends_the_session_and_nothing_else(server: RunningServer) -> None:
    async with talk(server) as conversation:
        with contextlib.suppress(websockets.ConnectionClosed):
            await conversation.socket.send(bytes(17 * 2**20))
        await conversation.until_closed()
    assert conversation.socket.close_code in (1009, 1006)
    await asyncio.to_thread(until, lambda: is_quiet(server))


@pytest.mark.slow
async def test_an_hour_of_audio_at_once_does_not_grow_the_server(server: RunningServer) -> None:
    process = psutil.Process(server.process.pid)
    await said(server, bytes(60 * BYTES_PER_S), size=BYTES_PER_S)
    before = process.memory_info().rss
    async with talk(server) as conversation:
        sending = asyncio.create_task(conversation.say(bytes(3600 * BYTES_PER_S), size=10 * BYTES_PER_S))
        listening = asyncio.create_task(conversation.until_closed())
        await asyncio.sleep(5)
        grown = process.memory_info().rss - before
        sending.cancel()
        conversation.socket.transport.abort()
        await asyncio.gather(sending, listening, return_exceptions=True)
    assert grown < 30e6
    await asyncio.to_thread(until, lambda: is_quiet(server))


async def test_the_wrong_rate_gives_nonsense_but_no_harm(server: RunningServer, sentence: bytes) -> None:
    conversation = await said(server, sentence, sample_rate=48000)
    assert conversation.messages[-1]["audio_s"] == pytest.approx(len(sentence) / BYTES_PER_S / 3, abs=0.01)


@pytest.mark.slow
async def test_a_recogniser_that_is_killed_costs_no_final(fixtures: Path) -> None:
    pcm = pcm_file(fixtures / "market.flac")
    with RunningServer(ASR_BACKEND=EMBEDDED) as server:
        async with talk(server) as conversation:
            await conversation.say(pcm[: 2 * BYTES_PER_S], pace=1)
            await conversation.next(is_partial=True)  # it is at work, and does not only start
            for child in server.children():
                child.kill()
            await conversation.say(pcm[2 * BYTES_PER_S :], pace=2)
            await conversation.close()
        assert server.health()["worker_alive"]
    assert len(conversation.text.split()) > 10
    assert conversation.errors == []


@pytest.mark.slow
async def test_an_open_session_keeps_the_model_in_memory() -> None:
    with RunningServer(ASR_BACKEND="scripted", IDLE_TIMEOUT="0.5") as server:
        async with talk(server):
            await asyncio.to_thread(until, lambda: server.health()["model_loaded"] is True)
            await asyncio.sleep(1.5)
            assert server.health()["model_loaded"] is True
        await asyncio.to_thread(until, lambda: server.health()["model_loaded"] is False)


@pytest.mark.slow
async def test_after_five_hundred_sessions_nothing_is_left_over(sentence: bytes) -> None:
    with RunningServer(ASR_BACKEND="scripted", LOG_LEVEL="WARNING") as server:
        process = psutil.Process(server.process.pid)
        short = sentence[:BYTES_PER_S]

        async def come_and_go(n: int) -> None:
            encoding = "webm" if n % 10 == 0 else "pcm_s16le"
            async with talk(server, encoding=encoding) as conversation:
                await conversation.send(*parts(short, 8000))
                if n % 3 == 0:
                    conversation.socket.transport.abort()
                elif n % 3 == 1:
                    await conversation.close()

        async def many(count: int) -> None:
            for start in range(0, count, 20):
                await asyncio.gather(*(come_and_go(n) for n in range(start, start + 20)))
            await asyncio.to_thread(until, lambda: is_quiet(server))
            await asyncio.sleep(1.2)  # the task gauge is set twice a second

        def left() -> tuple[int, int, int, float]:
            children = len(process.children(recursive=True))
            return process.num_fds(), process.num_threads(), children, metric(server, "steno_event_loop_tasks")

        await many(60)
        before = left()
        await many(500)
        assert metric(server, "steno_live_endings_total") == 560
        after = left()
        with contextlib.suppress(AssertionError):  # told below, by name
            await asyncio.to_thread(
                until, lambda: all(are <= were + 1 for were, are in zip(before, left(), strict=True))
            )
            after = left()
    for name, were, are in zip(("files", "threads", "children", "tasks"), before, after, strict=True):
        assert are <= were + 1, f"{name}: {were} before, {are} after"


@pytest.fixture(scope="module")
def embedded() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND=EMBEDDED) as server:
        yield server


def _noise(level_db: float, seconds: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (10 ** (level_db / 20) * rng.standard_normal(round(seconds * SAMPLE_RATE))).astype(np.float32)


def _music(seconds: float) -> np.ndarray:
    """Chords that change every half second, with overtones and decay."""
    t = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    chords = [(220, 277, 330), (247, 311, 370), (196, 247, 294), (262, 330, 392)]
    bars = [
        sum(np.sin(2 * np.pi * f * k * t) / k for f in chord for k in (1, 2, 3)) * np.exp(-2 * t) * 0.1
        for chord in chords
    ]
    return np.tile(np.concatenate(bars), int(seconds / 2)).astype(np.float32)


@pytest.mark.parametrize(
    "audio",
    [np.zeros(10 * SAMPLE_RATE, np.float32), _noise(-60, 10), _noise(-20, 10), _music(10)],
    ids=["silence", "hiss", "white noise", "music-like tones"],
)
async def test_silence_tones_and_noise_give_no_text(embedded: RunningServer, audio: np.ndarray) -> None:
    conversation = await said(embedded, pcm_of(audio))
    assert conversation.text == ""
    assert conversation.partials == []


async def test_speech_at_minus_40_db_is_heard(embedded: RunningServer, fixtures: Path) -> None:
    audio = np.concatenate(list(decode(fixtures / "weather.flac", max_seconds=None)))
    quiet = (audio / np.abs(audio).max() * 10 ** (-40 / 20)).astype(np.float32)
    conversation = await said(embedded, pcm_of(quiet))
    assert len(conversation.text.split()) >= 10
    assert json.dumps(conversation.finals)
