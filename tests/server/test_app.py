from __future__ import annotations

import asyncio

import fastapi.routing
import httpx
import pytest

from engine.virtual import SleepingBackend, now, run
from steno.engine.admission import AdmissionLimits
from steno.engine.local import local_engine
from steno.errors import BackendUnavailableError
from steno.server.app import PRELOAD_PAUSES_S, _preload, create_app
from steno.settings import Settings


def test_a_preload_that_fails_is_tried_again_until_it_succeeds() -> None:
    async def main() -> None:
        backend = SleepingBackend(load_s=1)
        backend.load_errors = [BackendUnavailableError("no weights"), BackendUnavailableError("no weights")]
        async with local_engine(backend, AdmissionLimits()) as engine:
            preloading = asyncio.create_task(_preload(engine))
            await asyncio.sleep(2)
            loading = engine.status().recogniser
            assert (loading.failure, loading.loads) == ("sleeping could not be loaded: no weights", 0)
            await preloading
            loading = engine.status().recogniser
            assert (loading.failure, loading.loads) == (None, 1)
            assert now() == 3 + sum(PRELOAD_PAUSES_S[:2])

    run(main())


def test_a_server_whose_model_must_be_there_is_not_ready_before_it_is() -> None:
    async def main() -> None:
        app = create_app(Settings(asr_backend="scripted", preload=True))
        engine = app.state.services.engine
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            early = await client.get("/ready")
            assert (early.status_code, early.json()) == (503, {"status": "loading"})
            async with engine:
                await engine.preload()
                assert (await client.get("/ready")).status_code == 200
                engine.drain()
                assert (await client.get("/ready")).json() == {"status": "draining"}
                assert (await client.get("/health")).json()["status"] == "draining"

    asyncio.run(main())


async def test_recordings_and_live_streams_have_one_speaker_network() -> None:
    services = create_app(Settings(asr_backend="scripted")).state.services
    live = await services.live._context.speaker_stage.embedder()
    assert await services.recordings.speaker_model.run(lambda embedder: embedder is live)
    await services.live.aclose()
    await services.recordings.aclose()


async def test_the_first_request_builds_no_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """FastAPI builds those of an included router when it first matches a request, on the event loop."""
    app = create_app(Settings(asr_backend="scripted", host="127.0.0.1"))
    built: list[object] = []
    monkeypatch.setattr(fastapi.routing, "get_dependant", lambda **options: built.append(options))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        assert (await client.get("/health")).status_code == 200
    assert not built
