"""Builds the application from settings. There is no global state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING

from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from loguru import logger

from steno import __version__, compose
from steno.engine.front import Engine
from steno.engine.worker.worker_supervisor import WorkerSupervisor, stop_all, supervisors_of
from steno.engine.worker.worker_wire import connect
from steno.errors import SettingsError, StenoError
from steno.server.front_role import METRICS, FrontRole
from steno.server.http import (
    alignments,
    archive_routes,
    asr,
    error_response,
    job_routes,
    listen,
    models,
    status,
    subtitles,
    transcriptions,
    translations,
)
from steno.server.http.deepgram_error import DeepgramAnswers
from steno.server.http.openapi import OpenApiInThread
from steno.server.http.signed_links import SignedLinks
from steno.server.job_setup import jobs_of
from steno.server.live import routes as live_routes
from steno.server.live import wrong_address
from steno.server.live.entry import LiveEntry
from steno.server.live.live_socket import SocketLimits
from steno.server.metrics import Metrics
from steno.server.middleware.allowed_sites import AllowedSites
from steno.server.middleware.auth import Auth, Keys
from steno.server.middleware.cors import Cors
from steno.server.middleware.path_prefix import PathPrefix
from steno.server.middleware.request_context import RequestContext
from steno.server.middleware.upload_admission import UploadAdmission
from steno.server.middleware.upload_limits import UploadLimits
from steno.server.page import routes
from steno.server.services import Services
from steno.settings import Settings

if TYPE_CHECKING:
    from steno.archive.archive_review import ArchiveReview
    from steno.engine.worker.worker_client import Connect
    from steno.server.http.result_cache import ResultCache

DESCRIPTION = """Speech to text over OpenAI's API. `model` is optional; errors have OpenAI's format
and a request id that the server's log contains."""

LOOP_PROBE_S = 0.5
PRELOAD_PAUSES_S = (6.0, 15.0, 30.0, 60.0)


EngineBuilder = Callable[[Settings, Metrics], Engine]


def create_app(settings: Settings, front: FrontRole | None = None, engine_of: EngineBuilder | None = None) -> FastAPI:
    """Build the app. Its lifespan starts and stops the engine.

    Args:
        front: of one of several fronts; their supervisor has the workers.
        engine_of: builds the engine; None = in this process, or with worker processes where the settings say so.

    Raises:
        BackendUnavailableError: the configured backend cannot run on this machine.
    """
    metrics = Metrics(front.folder / METRICS if front is not None else None)
    needs_workers = settings.has_worker and front is None and engine_of is None
    workers = supervisors_of(settings.devices, settings.worker_timeout) if needs_workers else []
    counts = front.counts if front is not None else None
    engine = engine_of(settings, metrics) if engine_of is not None else _engine_of(settings, metrics, workers, front)
    metrics.watch(engine, front.table if front is not None else None)
    for _, language in live_routes.LANGUAGES:
        metrics.live_sessions.labels(language.name)  # 0: an autoscaler takes a missing metric for an unknown one
    translator = compose.translator_of(settings)
    embedders = compose.embedders_of(settings, metrics.speaker_load_failures.inc)
    live = compose.live_of(settings, engine, translator, metrics, embedders)
    recordings = compose.recordings_of(settings, engine, embedders)
    urls = compose.url_fetcher_of(settings)
    results = _result_cache(settings, engine)
    jobs = jobs_of(settings, engine, urls, front)
    sites = AllowedSites(settings.allowed_origins, settings.host)
    keys = Keys([key.get_secret_value() for key in settings.api_keys])

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for worker in workers:
                await stack.enter_async_context(worker)
            stack.push_async_callback(stop_all, workers)
            await stack.enter_async_context(engine)
            background = [asyncio.create_task(_probe_loop(metrics), name="loop probe")]
            if settings.preload:
                background.append(asyncio.create_task(_preload(engine), name="preload"))
            try:
                async with jobs or nullcontext():
                    yield
            finally:
                for task in background:
                    task.cancel()
                await asyncio.gather(*background, return_exceptions=True)
                await live.aclose()
                await recordings.aclose()
                for closing in (urls, results, translator):
                    if closing is not None:
                        await closing.aclose()

    # Swagger UI is served from the package, not from a CDN, so the docs work without a network.
    app = FastAPIOffline(
        title="steno",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    services = app.state.services = Services(
        engine=engine,
        metrics=metrics,
        recordings=recordings,
        aliases=settings.model_aliases,
        style=partial(compose.caption_style_of, settings),
        max_stretch_s=settings.align_piece_s,
        translator=translator,
        results=results,
        jobs=jobs,
        shares_results=settings.cache_shared,
        archive=_archive_review(settings),
        links=SignedLinks([key.get_secret_value() for key in settings.api_keys]),
        urls=urls,
        live=live,
        entry=LiveEntry(keys, sites, settings.max_sessions_per_key, counts),
        socket_limits=SocketLimits(
            settings.session_idle_s, settings.session_max_s, settings.slow_reader_s, settings.drain_timeout
        ),
        text_temperature=settings.translate_temperature,
        caption_temperature=settings.translate_srt_temperature,
        wait_for_model=settings.preload,
        fronts=front.table if front is not None else None,
    )
    for work in jobs.works.values() if jobs is not None else ():
        work.services = services
    app.include_router(status.router)
    app.include_router(routes.router())
    # Adds the docs' "Authorize" button; `Auth` checks the key.
    key = Security(HTTPBearer(auto_error=False, description="One of API_KEYS, if the server has any."))
    app.include_router(models.router, dependencies=[key])
    for audio in (transcriptions, subtitles, translations, alignments, listen, asr, job_routes, archive_routes):
        app.include_router(audio.router, dependencies=[key])
    app.include_router(archive_routes.links)
    app.include_router(live_routes.router)
    app.include_router(wrong_address.router)
    error_response.install(app)
    _build_routes(app)
    # The middleware added last is the outermost.
    app.add_middleware(OpenApiInThread, api=app)
    app.add_middleware(
        UploadAdmission,
        engine=engine,
        limits=_upload_limits(settings),
        receiving=metrics.receiving_uploads.set,
        counts=counts,
    )
    app.add_middleware(Auth, keys=keys, sites=sites)
    app.add_middleware(Cors, sites=sites, has_keys=bool(keys))
    app.add_middleware(RequestContext, metrics=metrics)
    app.add_middleware(DeepgramAnswers)
    app.add_middleware(PathPrefix, root_path=settings.root_path)
    return app


def _build_routes(app: FastAPI) -> None:
    """Build the routes of the included routers. FastAPI does so when it first matches a request with them, on the event
    loop: 50 ms."""
    for route in app.routes:
        route.matches({"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []})


def _engine_of(
    settings: Settings, metrics: Metrics, workers: Sequence[WorkerSupervisor], front: FrontRole | None
) -> Engine:
    if front is not None:
        connects: list[Connect] = [partial(connect, address) for address in front.workers]
        return compose.gateway_engine_of(settings, metrics, connects, front.counts)
    if workers:
        return compose.gateway_engine_of(settings, metrics, [worker.connect for worker in workers])
    return compose.engine_of(settings, metrics)


def _upload_limits(settings: Settings) -> UploadLimits:
    return UploadLimits(
        max_bytes=settings.max_upload_mb * 2**20,
        max_s=settings.request_timeout,
        max_per_client=settings.max_uploads_per_client,
    )


def _result_cache(settings: Settings, engine: Engine) -> ResultCache | None:
    """Raises SettingsError: `CACHE_DIR` cannot be used."""
    if settings.cache_dir is None:
        return None
    import sqlite3

    from steno.server.http.result_cache import ResultCache

    served_by = f"{__version__} {engine.backend.name} {engine.backend.model_id} {settings.of_results()}"
    try:
        return ResultCache(settings.cache_dir, settings.cache_mb * 2**20, served_by)
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(f"CACHE_DIR={settings.cache_dir}: {error}", param="CACHE_DIR") from None


def _archive_review(settings: Settings) -> ArchiveReview | None:
    """Raises SettingsError: `ARCHIVE_DIR` is no archive."""
    if settings.archive_dir is None:
        return None
    from steno.archive.archive_folder import ArchiveFolder
    from steno.archive.archive_review import ArchiveReview
    from steno.errors import ArchiveError

    try:
        return ArchiveReview(ArchiveFolder.open(settings.archive_dir))
    except ArchiveError as error:
        raise SettingsError(f"ARCHIVE_DIR: {error.message}", param="ARCHIVE_DIR") from None


async def _probe_loop(metrics: Metrics) -> None:
    """Measure the event loop's lag, which shows whatever blocks it."""
    loop = asyncio.get_running_loop()
    while True:
        expected = loop.time() + LOOP_PROBE_S
        await asyncio.sleep(LOOP_PROBE_S)
        metrics.loop_lag.set(max(loop.time() - expected, 0.0))
        metrics.tasks.set(len(asyncio.all_tasks()))


async def _preload(engine: Engine) -> None:
    """Load the model, with retries: no request would retry it while `/ready` responds with 503."""
    for pause_s in chain(PRELOAD_PAUSES_S, repeat(PRELOAD_PAUSES_S[-1])):
        try:
            await engine.preload()
            return
        except StenoError as error:
            logger.error("{}; retrying in {:g} s", error.message, pause_s)
            await asyncio.sleep(pause_s)
