"""`AsyncClient.stream` against real servers."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pytest
import srt

from audio.encode import WEBM, encode
from running import EMBEDDED, PATIENCE_S, RunningServer, until
from speech import word_error_rate
from steno.audio.decode import decode
from steno.client import AsyncClient, Client, ConnectionLostError, Final, Partial, ServerError
from steno.errors import (
    AuthenticationError,
    InvalidRequestError,
    NotAudioError,
    OverloadedError,
    UnsupportedSampleRateError,
)
from talking import BYTES_PER_S, parts, pcm_file, said, talk


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Hears a word each half second of speech: `w0 w1 w2 …`."""
    with RunningServer(ASR_BACKEND="scripted", API_KEYS="k") as server:
        yield server


@pytest.fixture(scope="module")
def speech(fixtures: Path) -> bytes:
    """Four sentences with pauses between them, 21 s."""
    pause = bytes(BYTES_PER_S)
    return pause.join([pcm_file(fixtures / "weather.flac"), pcm_file(fixtures / "letter.flac")] * 2) + pause


async def spoken(pcm: bytes, pace: float | None = None, size: int = 3200) -> AsyncIterator[bytes]:
    """`pace` times as fast as it was spoken."""
    for part in parts(pcm, size):
        yield part
        if pace is not None:
            await asyncio.sleep(len(part) / BYTES_PER_S / pace)


async def spoken_past(pcm: bytes, size: int, past: asyncio.Event) -> AsyncIterator[bytes]:
    """Four times as fast as it was spoken; `past` is set when `size` bytes are."""
    async for part in spoken(pcm[:size], pace=4):
        yield part
    past.set()
    async for part in spoken(pcm[size:], pace=4):
        yield part


async def heard(
    url: str, audio: Any, key: str | None = "k", begun: asyncio.Event | None = None, **options: Any
) -> list[Partial | Final]:
    """All events; `begun` is set at the first."""
    events = []
    async with AsyncClient(url, key) as client:
        async for event in client.stream(audio, **options):
            events.append(event)
            if begun is not None:
                begun.set()
    return events


def finals_of(events: list[Partial | Final]) -> list[tuple[int, str, float, float]]:
    return [(e.segment_id, e.text, e.start_s, e.end_s) for e in events if isinstance(e, Final)]


@pytest.mark.parametrize("options", [{"prompt": "語" * 3900}, {"hotwords": ["語言" * 100] * 19}])
async def test_context_that_is_too_long_for_an_address_comes_in_a_message(
    server: RunningServer, fixtures: Path, options: dict[str, Any]
) -> None:
    pcm = pcm_file(fixtures / "letter.flac")
    assert finals_of(await heard(server.url, spoken(pcm), **options)) == finals_of(await heard(server.url, spoken(pcm)))


async def test_partials_settle_and_finals_are_those_that_any_client_gets(server: RunningServer, speech: bytes) -> None:
    events = await heard(server.url, spoken(speech, pace=8), words=True)
    reference = await said(server, speech, api_key="k")
    assert finals_of(events) == [(f["segment_id"], f["text"], f["start_s"], f["end_s"]) for f in reference.finals]
    assert len(reference.finals) == 4
    stable: dict[int, str] = {}
    for event in events:
        if isinstance(event, Partial):
            assert event.text == event.stable + event.draft
            assert event.stable.startswith(stable.get(event.segment_id, ""))
            stable[event.segment_id] = event.stable
        else:
            assert event.text.startswith(stable[event.segment_id])
            assert [word.text for word in event.words] == event.text.split()
            assert (event.language, event.confidence, event.error) == ("en", 1.0, None)


@pytest.mark.parametrize("size", [333, 10_000_000])
async def test_the_size_of_chunks_makes_no_difference(server: RunningServer, speech: bytes, size: int) -> None:
    usual = await heard(server.url, speech)
    assert finals_of(await heard(server.url, spoken(speech, size=size))) == finals_of(usual)


async def test_real_speech_is_understood(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND=EMBEDDED) as server:
        events = await heard(server.url, spoken(pcm_file(fixtures / "market.flac"), pace=4), key=None)
    assert word_error_rate("market.flac", " ".join(text for _, text, *_ in finals_of(events))) <= 0.45


@pytest.mark.parametrize(
    "at", [pytest.param(0.1, marks=pytest.mark.slow), 0.45, pytest.param(0.8, marks=pytest.mark.slow)]
)
@pytest.mark.slow
async def test_a_server_that_is_killed_and_started_anew_loses_and_doubles_nothing(speech: bytes, at: float) -> None:
    begun, past = asyncio.Event(), asyncio.Event()
    with RunningServer(ASR_BACKEND="scripted") as first:
        undisturbed = await heard(first.url, speech, captions="srt")
        audio = spoken_past(speech, round(at * len(speech) / 3200) * 3200, past)
        listening = asyncio.create_task(heard(first.url, audio, begun=begun, captions="srt"))
        await begun.wait()
        await past.wait()
        first.process.kill()
        await asyncio.to_thread(first.process.wait)
        assert not listening.done()
    with RunningServer(ASR_BACKEND="scripted", PORT=first.url.rpartition(":")[2]):
        events = await listening
    assert finals_of(events) == finals_of(undisturbed)
    assert captions_of(events) == captions_of(undisturbed)
    for before, after in pairwise(e for e in events if isinstance(e, Partial)):
        assert (before.segment_id, before.end_s) <= (after.segment_id, after.end_s), "captions went back"


def captions_of(events: list[Partial | Final]) -> list[srt.Subtitle]:
    return list(srt.parse("".join(e.caption or "" for e in events if isinstance(e, Final)), ignore_errors=False))


@pytest.mark.slow
async def test_a_server_that_shuts_down_is_waited_for(speech: bytes) -> None:
    begun, past = asyncio.Event(), asyncio.Event()
    with RunningServer(ASR_BACKEND="scripted") as first:
        audio = spoken_past(speech, 8 * BYTES_PER_S, past)
        listening = asyncio.create_task(heard(first.url, audio, begun=begun))
        await begun.wait()
        await past.wait()
        await asyncio.to_thread(first.stop)
    with RunningServer(ASR_BACKEND="scripted", PORT=first.url.rpartition(":")[2]):
        finals = finals_of(await listening)
    assert [segment_id for segment_id, *_ in finals] == list(range(len(finals)))
    assert finals[-1][3] > 19
    for before, after in pairwise(finals):
        assert before[3] <= after[2]


async def test_a_server_that_does_not_come_back_is_given_up_in_time(speech: bytes) -> None:
    begun = asyncio.Event()
    with RunningServer(ASR_BACKEND="scripted") as server:
        audio = spoken(speech, pace=4)
        listening = asyncio.create_task(heard(server.url, audio, begun=begun, reconnect_s=1.5))
        await begun.wait()
        server.process.kill()
        began = asyncio.get_running_loop().time()
        with pytest.raises(ServerError, match=r"^no response from "):
            await listening
    assert 1 < asyncio.get_running_loop().time() - began < 15, "that would be half of what it is by default"


async def test_nobody_waits_for_a_server_that_was_never_there(speech: bytes) -> None:
    with pytest.raises(ServerError, match=r"^no response from http://127\.0\.0\.1:9/: is the server up\?$"):
        await heard("http://127.0.0.1:9", speech)


@pytest.mark.slow
async def test_a_wrong_key_is_refused_once(speech: bytes) -> None:
    with RunningServer(ASR_BACKEND="scripted", API_KEYS="k") as server:
        with pytest.raises(AuthenticationError, match=r"^the API key is invalid$"):
            await heard(server.url, speech, key="wrong")
        await asyncio.to_thread(until, lambda: "refused" in server.log())
        assert server.log().count("refused") == 1


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"sample_rate": 4000}, UnsupportedSampleRateError),
        ({"translate_to": "fr"}, InvalidRequestError),
        ({"silence_ms": 1}, InvalidRequestError),
        ({"turn_detection": "clever"}, InvalidRequestError),
        ({"max_silence_ms": 1}, InvalidRequestError),
        ({"language": "Klingon"}, InvalidRequestError),
    ],
)
async def test_what_the_server_refuses_is_an_error_that_names_the_option(
    server: RunningServer, speech: bytes, options: dict[str, Any], kind: type[InvalidRequestError]
) -> None:
    with pytest.raises(kind) as refused:
        await heard(server.url, speech, **options)
    assert refused.value.param == next(iter(options))


async def test_what_makes_no_sense_is_refused_before_anything_is_iterated() -> None:
    async with AsyncClient("http://127.0.0.1:9") as client:
        for options in ({"encoding": "mp3"}, {"sample_rate": 0}, {"offset_s": -1.0}, {"hotwords": "one"}):
            with pytest.raises(InvalidRequestError) as refused:
                client.stream(b"", **options)  # type: ignore[arg-type]
            assert refused.value.param == next(iter(options))


@pytest.mark.slow
async def test_a_full_server_is_an_error_or_waited_for(speech: bytes) -> None:
    with RunningServer(ASR_BACKEND="scripted", MAX_SESSIONS="1") as server:
        async with talk(server) as first:
            with pytest.raises(OverloadedError) as refused:
                await heard(server.url, speech, reconnect_s=0)
            assert refused.value.retry_after_s >= 1
            waiting = asyncio.create_task(heard(server.url, speech))
            await asyncio.sleep(0.5)
            await first.close()
        assert len(finals_of(await waiting)) == 4


@pytest.mark.parametrize("how", ["close", "break", "cancel"])
async def test_whoever_stops_early_leaves_nothing_behind(server: RunningServer, speech: bytes, how: str) -> None:
    async def consume() -> None:
        async with AsyncClient(server.url, "k") as client:
            events = client.stream(list(parts(speech, 3200)))
            async for event in events:
                if isinstance(event, Partial) and how != "cancel":
                    break
            if how == "close":
                await events.aclose()

    before, threads = asyncio.all_tasks(), set(threading.enumerate())
    consuming = asyncio.create_task(consume())
    if how == "cancel":
        await asyncio.sleep(0.3)
        consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)
    gc.collect()
    async with asyncio.timeout(PATIENCE_S):
        while asyncio.all_tasks() != before:
            await asyncio.sleep(0.02)
    await asyncio.to_thread(until, lambda: not audio_threads(threads))
    await asyncio.to_thread(until, lambda: "native session over" in server.log())


def audio_threads(before: set[threading.Thread]) -> list[str]:
    return [t.name for t in threading.enumerate() if t not in before and t.name in ("audio source", "steno stream")]


async def test_an_error_of_the_source_is_the_consumer_s(server: RunningServer, speech: bytes) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield speech[:BYTES_PER_S]
        raise LookupError("the microphone was pulled out")

    def also_broken() -> Iterator[bytes]:
        yield speech[:BYTES_PER_S]
        raise LookupError("the microphone was pulled out")

    for source in (broken(), also_broken()):
        with pytest.raises(LookupError, match="pulled out"):
            await heard(server.url, source)


@pytest.mark.slow
async def test_a_slow_consumer_holds_up_the_source_and_loses_nothing(server: RunningServer, speech: bytes) -> None:
    long, taken = speech * 5, 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal taken
        for part in parts(long, 3200):
            taken += len(part)
            yield part

    events: list[Partial | Final] = []
    async with AsyncClient(server.url, "k") as client:
        async for event in client.stream(counted()):
            if not events:
                await asyncio.sleep(2)
                assert taken <= 61 * BYTES_PER_S
            events.append(event)
    assert taken == len(long)
    assert finals_of(events) == finals_of(await heard(server.url, long))


@pytest.mark.slow
async def test_silence_is_let_go_of_and_what_comes_after_it_is_heard(server: RunningServer, speech: bytes) -> None:
    silence = bytes(100 * BYTES_PER_S)
    finals = finals_of(await heard(server.url, spoken(speech + silence + speech)))
    assert len(finals) == 8
    assert finals[4][2] > 120


@pytest.mark.slow
async def test_after_a_long_silence_a_connection_is_taken_up_with_the_last_minute(speech: bytes) -> None:
    silence = bytes(100 * BYTES_PER_S)
    is_back = asyncio.Event()

    async def paused() -> AsyncIterator[bytes]:
        async for part in spoken(speech + silence):
            yield part
        await is_back.wait()
        async for part in spoken(speech):
            yield part

    with RunningServer(ASR_BACKEND="scripted") as first:
        undisturbed = finals_of(await heard(first.url, speech + silence + speech))
        listening = asyncio.create_task(heard(first.url, paused()))
        await asyncio.sleep(9)  # by then a server that was in arrears has not been so for `LAG_S`
        first.process.kill()
    with RunningServer(ASR_BACKEND="scripted", PORT=first.url.rpartition(":")[2]):
        is_back.set()
        resumed = finals_of(await listening)
    assert [final[:2] for final in resumed] == [final[:2] for final in undisturbed]
    assert [final[3] for final in resumed] == pytest.approx([final[3] for final in undisturbed], abs=0.04)


@pytest.mark.slow
async def test_audio_in_a_container_is_heard_but_cannot_be_resumed(fixtures: Path) -> None:
    audio = np.concatenate(list(decode(fixtures / "letter.flac", max_seconds=None)))
    webm = encode(audio, 16_000, WEBM)
    with RunningServer(ASR_BACKEND="scripted") as server:
        events = await heard(server.url, spoken(webm, size=500), key=None, encoding="webm")
        assert finals_of(events)[0][1].startswith("w0 w1")
        with pytest.raises(NotAudioError):
            await heard(server.url, b"this is no audio" * 100, key=None, encoding="webm")
        begun = asyncio.Event()
        endless = spoken(webm[:-1], pace=0.2, size=500)
        listening = asyncio.create_task(heard(server.url, endless, key=None, begun=begun, encoding="webm"))
        await begun.wait()
        server.process.kill()
        with pytest.raises(ConnectionLostError, match="webm cannot be resumed"):
            await listening


async def test_uploads_have_an_asynchronous_twin(server: RunningServer, fixtures: Path) -> None:
    sent: list[int] = []
    async with AsyncClient(server.url, "k") as client:
        transcript = await client.transcribe(fixtures / "letter.flac", on_sent=sent.append)
        models = await client.get("/v1/models")
        with pytest.raises(ServerError, match=r"^the server says 404: "):
            await client.post(fixtures / "letter.flac", {"model": "unheard-of"})
        with pytest.raises(ServerError, match="hotwords"):
            await client.transcribe(fixtures / "letter.flac", hotwords=["Bletchley"] * 1000)
        with pytest.raises(InvalidRequestError, match="expected a list of words"):
            await client.transcribe(fixtures / "letter.flac", hotwords="Bletchley")
    assert max(sent) == (fixtures / "letter.flac").stat().st_size
    with Client(server.url, "k") as blocking:
        assert (
            blocking.transcribe(str(fixtures / "letter.flac"), language="en").words,
            blocking.get("/v1/models"),
        ) == (
            transcript.words,
            models,
        )


# Client.stream


def test_without_an_event_loop_it_is_a_plain_iterator(server: RunningServer, speech: bytes) -> None:
    before = set(threading.enumerate())
    with Client(server.url, "k") as client:
        events = list(client.stream(parts(speech, 3200)))
        assert finals_of(events) == finals_of(list(client.stream(speech)))
    assert len(finals_of(events)) == 4
    until(lambda: not audio_threads(before))


def test_a_plain_iterator_that_is_left_early_leaves_no_thread(server: RunningServer, speech: bytes) -> None:
    before = set(threading.enumerate())
    with Client(server.url, "k") as client:
        for event in client.stream(parts(speech, 3200)):
            assert isinstance(event, Partial)
            break
    until(lambda: not audio_threads(before))


def test_ctrl_c_ends_a_plain_iterator_whose_source_says_nothing(server: RunningServer) -> None:
    program = f"""
import sys, time
from steno.client import Client
def silent():
    yield bytes(3200)
    print("waiting", flush=True)
    time.sleep(60)
with Client({server.url!r}, "k") as client:
    list(client.stream(silent()))
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=PIPE, stderr=PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "waiting\n"
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=PATIENCE_S)
    assert errors.rstrip().endswith("KeyboardInterrupt")


def test_errors_reach_a_plain_iterator(server: RunningServer, speech: bytes) -> None:
    with Client(server.url, "wrong") as client, pytest.raises(AuthenticationError):
        next(client.stream([speech]))
