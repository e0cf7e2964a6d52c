"""Builds the stored jobs from settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steno.engine.front import Engine
from steno.errors import JobStorageError, SettingsError
from steno.settings import Settings

if TYPE_CHECKING:
    from steno.jobs.job_service import JobService
    from steno.outbound.fetch import UrlFetcher
    from steno.outbound.post import Poster


def jobs_of(settings: Settings, engine: Engine, urls: UrlFetcher | None) -> JobService | None:
    """The jobs; None if the server takes none.

    Raises:
        SettingsError: they cannot be stored there.
    """
    if settings.jobs_db is None:
        return None
    from steno.jobs.callbacks import CallbackSender
    from steno.jobs.job_service import JobLimits, JobService
    from steno.jobs.job_store import JobStore
    from steno.jobs.job_worker import JobWorker
    from steno.server.http.job_json import callback_data
    from steno.server.http.job_works import job_works

    works = job_works()
    store = JobStore(settings.jobs_db, settings.jobs_dir or settings.jobs_db.parent / "jobs")
    try:
        store.prepare()
    except JobStorageError as error:
        raise SettingsError(f"JOBS_DB={settings.jobs_db}: {error.message}", param="JOBS_DB") from None
    poster = _poster_of(settings)
    callbacks = None
    if poster is not None and settings.callback_secret is not None:
        callbacks = CallbackSender(store, poster, settings.callback_secret.get_secret_value(), callback_data)
    worker = JobWorker(
        store,
        engine,
        works,
        concurrent=settings.concurrent_jobs,
        urls=urls,
        hours_per_day=settings.job_hours_per_day,
        ended=callbacks.wake if callbacks is not None else lambda: None,
    )
    limits = JobLimits(settings.jobs_per_key, settings.job_hours_per_day, settings.jobs_keep_h)
    return JobService(store, worker, works, limits, callbacks, poster)


def _poster_of(settings: Settings) -> Poster | None:
    if settings.callback_secret is None:
        return None
    from steno.outbound.post import Poster
    from steno.outbound.url_policy import policy_of

    return Poster(policy_of(settings.url_schemes, settings.url_allowlist))
