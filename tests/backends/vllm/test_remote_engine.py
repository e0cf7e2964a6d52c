"""Remote vLLM: pool, pins, failover and honest errors, against real HTTP servers that speak vLLM's wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from steno.backends.base import Recognize
from steno.backends.qwen.checkpoint.model_source import ModelRef
from steno.backends.qwen3_asr.log_mel import tokens_of
from steno.backends.vllm import http_connection, server_pool, vllm_server
from steno.backends.vllm.remote_engine import RemoteEngine
from steno.backends.vllm.server_errors import RequestRefusedError
from steno.backends.vllm.token_generator import FeatureWindow, TokenRequest, VllmPriority
from steno.backends.vllm.vllm_options import RemoteOptions
from steno.errors import BackendCrashedError, BackendError, ModelLoadError
from vllm_stub import AUDIO_TOKEN_ID, KEY, Reply, VllmStub, answer_of, stubs

PROCESSING = SimpleNamespace(audio_token_id=AUDIO_TOKEN_ID, stop_token_ids=frozenset({7}), vocabulary=1000)
PATIENCE_S = 20.0


def request_of(utterance: str | None, *frames: int, language: str | None = "en") -> TokenRequest:
    """The windows' content follows from their position and size: the same ones have the same hash."""
    windows = tuple(FeatureWindow(torch.full((128, size), 0.5 + n)) for n, size in enumerate(frames))
    work = Recognize(np.zeros(16_000, np.float32), language, "a context", utterance=utterance, final=False)
    return TokenRequest((1, 2), windows, (3, 4), 50, VllmPriority.LIVE_PARTIAL, work)


@asynccontextmanager
async def engine(*servers: VllmStub, key: str | None = None) -> AsyncIterator[RemoteEngine]:
    options = RemoteOptions(ModelRef("tiny", weights=False), tuple(each.url for each in servers), key, 8)
    remote = RemoteEngine(options, cast("Any", PROCESSING))
    await remote.start(lambda *_: None)
    try:
        yield remote
    finally:
        await asyncio.wait_for(remote.stop(), PATIENCE_S)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_prompt_placeholders_and_windows_travel_as_vllm_reads_them() -> None:
    async with stubs(1) as (server,), engine(server) as remote:
        generation = await remote.generate(request_of("u", 800, 130))
    assert (generation.tokens, generation.logprobs, generation.text) == ((800, 130), (-0.1, -0.1), None)
    (sent,) = server.requests
    first, second = tokens_of(800), tokens_of(130)
    assert sent["token_ids"] == [1, 2, *[AUDIO_TOKEN_ID] * (first + second), 3, 4]
    assert sent["features"]["mm_placeholders"]["audio"] == [
        {"offset": 2, "length": first}, {"offset": 2 + first, "length": second},
    ]  # fmt: skip
    assert (sent["model"], sent["priority"], sent["sampling_params"]["max_tokens"]) == ("tiny", 1, 50)
    assert sent["sampling_params"]["stop_token_ids"] == [7]


async def test_a_window_is_sent_once_and_again_when_the_server_has_lost_it() -> None:
    async with stubs(1) as (server,), engine(server) as remote:
        await remote.generate(request_of("u", 800, 100))
        assert (await remote.generate(request_of("u", 800, 200))).tokens == (800, 200)
        assert server.sent == 3
        server.windows.clear()
        assert (await remote.generate(request_of("u", 800, 200))).tokens == (800, 200)
        assert (server.sent, len(server.requests)) == (5, 4)
        assert remote.failovers == 0


async def test_a_server_whose_cache_never_has_them_is_sent_all_windows() -> None:
    async def forgetful(request: dict[str, Any]) -> Reply:
        server.windows.clear()
        return await server.good(request)

    async with stubs(1) as (server,), engine(server) as remote:
        server.behaviour = forgetful
        for _ in range(6):
            assert (await remote.generate(request_of("u", 800))).tokens == (800,)
        assert len(server.requests) == 6 + vllm_server.MAX_MISSES


async def test_utterances_stay_where_their_caches_are_and_new_ones_go_where_fewer_are() -> None:
    async with stubs(2) as servers, engine(*servers) as remote:
        for key in ("a", "b", "c", "d", "a", "b", "c", "d"):
            await remote.generate(request_of(key, 100))
        assert [len(server.requests) for server in servers] == [4, 4]
        assert [each.pinned for each in remote._pool.servers] == [2, 2]
        for key in ("a", "b", "c", "d"):
            remote.forget(key)
        remote.forget("unknown")
        assert [each.load for each in remote._pool.servers] == [0, 0]


async def test_uploads_go_to_the_least_loaded_server() -> None:
    async with stubs(2) as (slow, quick), engine(slow, quick) as remote:
        slow.behaviour = slow.never
        stuck = asyncio.create_task(remote.generate(request_of(None, 100)))
        await until(lambda: slow.waiting == 1)
        for _ in range(3):
            await remote.generate(request_of(None, 100))
        assert (len(slow.requests), len(quick.requests)) == (1, 3)
        stuck.cancel()


async def test_a_cancelled_request_closes_its_connection_and_nothing_stays_counted() -> None:
    async with stubs(1) as (server,), engine(server) as remote:
        server.behaviour = server.never
        task = asyncio.create_task(remote.generate(request_of("u", 100)))
        await until(lambda: server.waiting == 1)
        task.cancel()
        await until(lambda: server.disconnected == 1 and server.waiting == 0)
        remote.forget("u")
        assert remote._pool.servers[0].load == 0
        server.behaviour = server.good
        assert (await remote.generate(request_of("u", 100))).tokens == (100,)


async def test_requests_in_a_server_that_dies_are_sent_to_the_other_with_all_windows() -> None:
    async with stubs(2) as (first, second), engine(first, second) as remote:
        await remote.generate(request_of("u", 800, 100))
        used, other = (first, second) if first.requests else (second, first)
        used.behaviour = used.never
        task = asyncio.create_task(remote.generate(request_of("u", 800, 200)))
        await until(lambda: used.waiting == 1)
        await used.die()
        assert (await asyncio.wait_for(task, PATIENCE_S)).tokens == (800, 200)
        assert (other.sent, remote.failovers) == (2, 1)
        assert (await remote.generate(request_of("u", 800, 300))).tokens == (800, 300)
        assert (other.sent, remote.failovers) == (3, 1)
        await until(lambda: sorted(each.is_up for each in remote.status()) == [False, True])
        used.behaviour = used.good
        await used.start()
        await until(lambda: all(each.is_up for each in remote.status()))


async def test_a_server_that_hangs_loses_its_requests_by_its_health(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_server, "HEALTH_S", 0.1)
    monkeypatch.setattr(server_pool, "CHECK_EVERY_S", 0.05)
    async with stubs(2) as servers, engine(*servers) as remote:
        for server in servers:
            server.behaviour = server.never
        task = asyncio.create_task(remote.generate(request_of("u", 100)))
        await until(lambda: any(server.waiting for server in servers))
        hung, other = servers if servers[0].waiting else servers[::-1]
        other.behaviour = other.good
        hung.answers_health = False
        assert (await asyncio.wait_for(task, PATIENCE_S)).tokens == (100,)
        assert len(other.requests) == 1


async def test_a_request_that_is_not_answered_in_time_goes_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_server, "REQUEST_S", 0.3)
    async with stubs(2) as servers, engine(*servers) as remote:
        servers[0].behaviour = servers[0].never
        assert (await remote.generate(request_of(None, 100))).tokens == (100,)
        assert all(each.is_up for each in remote.status())


async def test_without_any_server_the_request_may_be_repeated_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_pool, "WAIT_S", 0.3)
    async with stubs(1) as (server,), engine(server) as remote:
        await server.die()
        with pytest.raises(BackendCrashedError) as lost:
            await remote.generate(request_of("u", 100))
        assert lost.value.may_pass
        await until(lambda: remote.restarting() is not None)
        await server.start()
        await until(lambda: remote.restarting() is None)
        assert (await remote.generate(request_of("u", 100))).tokens == (100,)


async def _garbage(request: dict[str, Any]) -> Reply:
    return 200, b"<html>"


async def _too_long(request: dict[str, Any]) -> Reply:
    return 200, b" " * (http_connection.MAX_ANSWER + 1)


async def _too_many_tokens(request: dict[str, Any]) -> Reply:
    return 200, answer_of([5] * 51)


async def _foreign_tokens(request: dict[str, Any]) -> Reply:
    return 200, answer_of([5, 1000])


async def _too_few_logprobs(request: dict[str, Any]) -> Reply:
    return 200, b'{"choices": [{"token_ids": [5, 6], "logprobs": {"content": [{"logprob": -1}]}}]}'


async def _aborted(request: dict[str, Any]) -> Reply:
    return 200, answer_of([5], finish_reason="abort")


async def _error(request: dict[str, Any]) -> Reply:
    return 500, b'{"error": {"message": "out of something"}}'


BAD = [_garbage, _too_long, _too_many_tokens, _foreign_tokens, _too_few_logprobs, _aborted, _error]


@pytest.mark.parametrize("behaviour", BAD)
async def test_a_bad_answer_is_asked_for_elsewhere_and_an_error_if_all_are_bad(behaviour: Any) -> None:
    async with stubs(2) as (bad, good), engine(bad, good) as remote:
        bad.behaviour = behaviour
        for _ in range(2):
            assert (await remote.generate(request_of(None, 100))).tokens == (100,)
        assert len(bad.requests) >= 1
        good.behaviour = behaviour
        with pytest.raises(BackendError, match="vLLM failed on this audio") as failed:
            await remote.generate(request_of(None, 100))
        assert "127.0.0.1" not in failed.value.message


async def test_a_request_that_vllm_refuses_is_not_sent_again() -> None:
    async def refuse(request: dict[str, Any]) -> Reply:
        return 400, b'{"error": {"message": "the prompt is too long"}}'

    async with stubs(2) as servers, engine(*servers) as remote:
        for server in servers:
            server.behaviour = refuse
        with pytest.raises(RequestRefusedError):
            await remote.generate(request_of(None, 100))
        assert sum(len(server.requests) for server in servers) == 1


async def test_one_server_is_enough_and_the_other_is_used_when_it_comes_up() -> None:
    async with stubs(2) as (first, second):
        await second.die()
        async with engine(first, second) as remote:
            assert [each.is_up for each in remote.status()] == [True, False]
            await second.start()
            await until(lambda: all(each.is_up for each in remote.status()))


async def test_loading_without_a_server_names_the_addresses_and_leaves_no_task() -> None:
    async with stubs(2) as servers:
        for server in servers:
            await server.die()
        before = asyncio.all_tasks()
        with pytest.raises(ModelLoadError) as failed:
            async with engine(*servers):
                raise AssertionError
        assert all(server.url in failed.value.message for server in servers)
        assert asyncio.all_tasks() == before


async def test_a_refused_key_is_named() -> None:
    async with stubs(1) as (server,):
        server.key = KEY
        with pytest.raises(ModelLoadError, match="set VLLM_API_KEY"):
            async with engine(server, key="wrong"):
                raise AssertionError
        async with engine(server, key=KEY) as remote:
            assert (await remote.generate(request_of("u", 100))).tokens == (100,)
            server.key = "another"
            with pytest.raises(BackendCrashedError):
                await remote.generate(request_of("u", 100))
            assert "VLLM_API_KEY" in str(remote.status()[0].problem)


async def test_the_model_is_the_one_of_model_id_or_the_only_one() -> None:
    async with stubs(1) as (server,):
        server.models = [{"id": "llama"}, {"id": "asr", "root": "tiny"}]
        async with engine(server) as remote:
            await remote.generate(request_of("u", 100))
        assert server.requests[0]["model"] == "asr"
        server.models = [{"id": "llama"}, {"id": "mistral"}]
        with pytest.raises(ModelLoadError, match=r"serves llama, mistral, and none of them is MODEL_ID \(tiny\)"):
            async with engine(server):
                raise AssertionError
        server.models = [{"id": "llama"}]
        server.audio_tokens = [1, 2, 3]
        with pytest.raises(ModelLoadError, match="serves llama, whose tokenizer is not the one of MODEL_ID"):
            async with engine(server):
                raise AssertionError


async def test_without_priorities_requests_have_none() -> None:
    async with stubs(1) as (server,):
        server.priorities = False
        async with engine(server) as remote:
            await remote.generate(request_of("u", 100))
        assert server.requests[0]["priority"] == 0


async def test_a_server_that_takes_no_tokens_transcribes_the_whole_piece() -> None:
    async with stubs(1) as (server,):
        server.generates = False
        async with engine(server) as remote:
            assert remote.status()[0].path == "transcriptions"
            generation = await remote.generate(request_of("u", 100))
    assert (generation.text, generation.tokens) == ("the whole text", ())
    (form,) = server.forms
    for name, value in {"model": "tiny", "language": "en", "prompt": "a context"}.items():
        assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in form
    assert b"RIFF" in form


async def test_a_server_that_takes_tokens_is_preferred_and_lost_endpoints_are_noticed() -> None:
    async with stubs(2) as (plain, exact):
        plain.generates = False
        async with engine(plain, exact) as remote:
            for _ in range(3):
                assert (await remote.generate(request_of(None, 100))).text is None
            exact.generates = False  # restarted with other flags
            assert (await remote.generate(request_of(None, 100))).text == "the whole text"
            await until(lambda: [each.path for each in remote.status()] == ["transcriptions"] * 2)


async def test_stopping_closes_every_connection_and_it_can_be_started_again() -> None:
    async with stubs(1) as (server,), engine(server) as remote:
        await remote.generate(request_of("u", 100))
        await remote.stop()
        started = time.monotonic()
        await until(lambda: not server._connections)
        assert time.monotonic() - started < PATIENCE_S
        assert remote._pool.servers[0].pinned == 0
        await remote.start(lambda *_: None)
        assert (await remote.generate(request_of("u", 100))).tokens == (100,)
        assert server.sent == 2
