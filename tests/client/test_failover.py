"""A stream continues on another server when its own shuts down, dies or is not there."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from running import PATIENCE_S, RunningServer, until
from steno.client import AsyncClient, Client, Final, Partial, ServerError
from steno.errors import InvalidRequestError, SettingsError
from talking import BYTES_PER_S, parts, pcm_file

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def speech(fixtures: Path) -> bytes:
    """Four sentences with pauses between them, 21 s."""
    pause = bytes(BYTES_PER_S)
    return pause.join([pcm_file(fixtures / "weather.flac"), pcm_file(fixtures / "letter.flac")] * 2) + pause


async def spoken(pcm: bytes, pace: float) -> AsyncIterator[bytes]:
    """`pace` times as fast as it was spoken."""
    for part in parts(pcm, 3200):
        yield part
        await asyncio.sleep(len(part) / BYTES_PER_S / pace)


async def heard(url: str, audio: Any, events: list[Partial | Final], **options: Any) -> None:
    """Append all events to `events`."""
    async with AsyncClient(url) as client:
        async for event in client.stream(audio, **options):
            events.append(event)


def finals_of(events: list[Partial | Final]) -> list[tuple[int, str, float, float]]:
    return [(e.segment_id, e.text, e.start_s, e.end_s) for e in events if isinstance(e, Final)]


def captions_of(events: list[Partial | Final]) -> str:
    return "".join(e.caption or "" for e in events if isinstance(e, Final))


async def until_true(condition: Any) -> None:
    await asyncio.to_thread(until, condition)


@pytest.mark.slow
async def test_a_server_that_shuts_down_hands_its_stream_to_the_next(speech: bytes) -> None:
    undisturbed: list[Partial | Final] = []
    events: list[Partial | Final] = []
    with RunningServer(ASR_BACKEND="scripted") as first, RunningServer(ASR_BACKEND="scripted") as second:
        await heard(second.url, speech, undisturbed, captions="srt")
        options = {"fallback_urls": [second.url], "captions": "srt"}
        listening = asyncio.create_task(heard(first.url, spoken(speech, 4), events, **options))
        await until_true(lambda: bool(finals_of(events)) and isinstance(events[-1], Partial))
        assert await asyncio.to_thread(first.stop) == 0
        assert not listening.done()
        await listening
        await until_true(lambda: "native session over (draining)" in first.log())
        assert second.log().count("native session opened") == 2
    assert finals_of(events) == finals_of(undisturbed)
    assert captions_of(events) == captions_of(undisturbed)


@pytest.mark.slow
async def test_an_utterance_that_outlasts_the_drain_is_continued_without_a_gap(speech: bytes) -> None:
    endless = speech[BYTES_PER_S // 2 : 3 * BYTES_PER_S] * 6
    events: list[Partial | Final] = []
    drain = {"DRAIN_TIMEOUT": "3"}
    with RunningServer(ASR_BACKEND="scripted", **drain) as first, RunningServer(ASR_BACKEND="scripted") as second:
        listening = asyncio.create_task(heard(first.url, spoken(endless, 1), events, fallback_urls=[second.url]))
        await until_true(lambda: bool(events))
        await asyncio.to_thread(first.stop)
        await listening
    finals = finals_of(events)
    assert len(finals) >= 2
    assert finals[-1][3] == pytest.approx(len(endless) / BYTES_PER_S, abs=0.6)
    for before, after in pairwise(finals):
        assert 0 <= after[2] - before[3] < 0.6
    words = " ".join(text for _, text, *_ in finals).split()
    assert len(words) == pytest.approx(2 * (finals[-1][3] - finals[0][2]), abs=len(finals) + 1)


@pytest.mark.slow
async def test_a_server_that_dies_is_replaced_by_the_next(speech: bytes) -> None:
    events: list[Partial | Final] = []
    undisturbed: list[Partial | Final] = []
    with RunningServer(ASR_BACKEND="scripted") as first, RunningServer(ASR_BACKEND="scripted") as second:
        await heard(second.url, speech, undisturbed)
        listening = asyncio.create_task(heard(first.url, spoken(speech, 4), events, fallback_urls=[second.url]))
        await until_true(lambda: bool(events))
        first.process.kill()
        await asyncio.to_thread(first.process.wait)
        await listening
    assert finals_of(events) == finals_of(undisturbed)


def test_a_server_that_is_not_there_is_passed_over_also_by_the_synchronous_client(speech: bytes) -> None:
    with RunningServer(ASR_BACKEND="scripted") as server, Client(NOBODY) as client:
        finals = [event for event in client.stream(speech, fallback_urls=[server.url]) if isinstance(event, Final)]
    assert len(finals) == 4


async def test_if_no_server_is_there_the_stream_fails_after_one_round(speech: bytes) -> None:
    with pytest.raises(ServerError, match=r"^no response from http://127\.0\.0\.1:11/: is the server up\?$"):
        async with asyncio.timeout(PATIENCE_S):
            await heard(NOBODY, speech, [], fallback_urls=["http://127.0.0.1:10", "http://127.0.0.1:11"])


async def test_addresses_that_are_none_are_refused_before_anything_is_iterated() -> None:
    async with AsyncClient(NOBODY) as client:
        with pytest.raises(InvalidRequestError, match="expected a list of URLs"):
            client.stream(b"", fallback_urls=NOBODY)
        with pytest.raises(SettingsError, match="invalid server URL 'localhost'"):
            client.stream(b"", fallback_urls=["localhost"])


@pytest.mark.slow
def test_steno_live_takes_several_servers(fixtures: Path) -> None:
    command = [sys.executable, "-m", "steno", "live", str(fixtures / "weather.flac"), "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STENO_")}
    lines: list[dict[str, Any]] = []
    with RunningServer(ASR_BACKEND="scripted") as first, RunningServer(ASR_BACKEND="scripted") as second:
        with subprocess.Popen(
            [*command, "--url", f"{first.url}, {second.url}"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        ) as running:  # fmt: skip
            assert running.stdout is not None
            lines.append(json.loads(running.stdout.readline()))
            first.process.kill()
            lines += [json.loads(line) for line in running.stdout]
        until(lambda: "native session over (closed)" in second.log())
    assert running.returncode == 0
    assert [line["text"].split()[0] for line in lines if line["is_final"]] == ["w0"]
