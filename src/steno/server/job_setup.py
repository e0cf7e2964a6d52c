"""Builds the stored jobs from settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from steno.engine.front import Engine
from steno.errors import JobStorageError, SettingsError
from steno.server.front_role import JOBS, FrontRole
from steno.settings import Settings

if TYPE_CHECKING:
    from steno.jobs.callbacks import CallbackSender
    from steno.jobs.job_service import JobService
    from steno.jobs.job_store import JobStore
    from steno.jobs.job_worker import JobWork, JobWorker
    from steno.outbound.fetch import UrlFetcher
    from steno.outbound.post import Poster

MIN_ORPHAN_S = 3600.0
"""Age at which a folder without a job is deleted, if other fronts may be writing one: that takes less time."""


def jobs_of(
    settings: Settings, engine: Engine, urls: UrlFetcher | None, front: FrontRole | None = None
) -> JobService | None:
    """The jobs; None if the server takes none.

    Args:
        front: of one of several fronts. Only one of them runs jobs and sends callbacks.

    Raises:
        SettingsError: they cannot be stored there.
    """
    if settings.jobs_db is None:
        return None
    from steno.jobs.callbacks import CallbackSender
    from steno.jobs.job_handover import RemoteJobRunner
    from steno.jobs.job_service import JobLimits, JobService
    from steno.server.http.job_json import callback_data
    from steno.server.http.job_works import job_works

    works = job_works()
    store = _store_of(settings, front)
    poster = _poster_of(settings)
    limits = JobLimits(settings.jobs_per_key, settings.job_hours_per_day, settings.jobs_keep_h)
    if front is not None and not front.runs_jobs:
        remote = RemoteJobRunner(front.folder / JOBS)
        return JobService(store, remote, works, limits, poster=poster, cleans=False)
    callbacks = None
    if poster is not None and settings.callback_secret is not None:
        callbacks = CallbackSender(store, poster, settings.callback_secret.get_secret_value(), callback_data)
    runner = _runner_of(settings, store, engine, works, urls, callbacks)
    return JobService(store, runner, works, limits, callbacks, poster, inbox=front.folder / JOBS if front else None)


def _store_of(settings: Settings, front: FrontRole | None) -> JobStore:
    from steno.jobs.job_store import JobStore

    assert settings.jobs_db is not None
    folder = settings.jobs_dir or settings.jobs_db.parent / "jobs"
    resumes = front is None or front.runs_jobs
    store = JobStore(settings.jobs_db, folder, resumes=resumes, min_orphan_s=MIN_ORPHAN_S if front else 0.0)
    try:
        store.prepare()
    except JobStorageError as error:
        raise SettingsError(f"JOBS_DB={settings.jobs_db}: {error.message}", param="JOBS_DB") from None
    return store


def _runner_of(
    settings: Settings,
    store: JobStore,
    engine: Engine,
    works: Mapping[str, JobWork],
    urls: UrlFetcher | None,
    callbacks: CallbackSender | None,
) -> JobWorker:
    from steno.jobs.job_worker import JobWorker

    return JobWorker(
        store,
        engine,
        works,
        concurrent=settings.concurrent_jobs,
        urls=urls,
        hours_per_day=settings.job_hours_per_day,
        ended=callbacks.wake if callbacks is not None else lambda: None,
    )


def _poster_of(settings: Settings) -> Poster | None:
    if settings.callback_secret is None:
        return None
    from steno.outbound.post import Poster
    from steno.outbound.url_policy import policy_of

    return Poster(policy_of(settings.url_schemes, settings.url_allowlist))
