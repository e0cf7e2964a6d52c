"""Settings of recordings at URLs, of kept results and of jobs: a part of `Settings`."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from steno.settings_fields import Names, UrlSchemes, setting


class StoredWorkSettings(BaseSettings):
    """See `Settings`."""

    allow_urls: bool = setting("URLs", "Fetch recordings from URLs that clients send (`audio_url`).", False)
    url_schemes: UrlSchemes = setting(
        "URLs",
        "Schemes of these URLs, comma-separated: `https`, `http`, `s3`, `gs`, `az`. Object stores are read with the "
        "server's own credentials, so their buckets must be in `URL_ALLOWLIST`.",
        ("https",),
    )
    url_allowlist: Names = setting(
        "URLs",
        "Hosts (`media.example.org`, `*.example.org`), networks (`10.1.0.0/16`) and buckets that may be contacted "
        "although their addresses are not public, comma-separated.",
        (),
    )
    url_timeout: float = setting("URLs", "Max seconds for fetching a recording.", 300.0, gt=0, le=86_400)

    cache_dir: Path | None = setting(
        "Cache",
        "Folder in which results are kept, so that the same request for the same recording is answered at once. "
        "Unset = nothing is kept.",
        None,
    )
    cache_mb: int = setting(
        "Cache",
        "Max size of the cache, in MiB; the least recently used results are deleted.",
        1024,
        ge=1,
        le=10_000_000,
    )
    cache_shared: bool = setting(
        "Cache", "Answer requests of one API key with results that were made for another.", False
    )

    jobs_db: Path | None = setting("Jobs", "SQLite file of stored jobs (`/v1/jobs`). Unset = no jobs are taken.", None)
    jobs_dir: Path | None = setting(
        "Jobs", "Folder of the jobs' recordings and results. Default: the folder `jobs` beside `JOBS_DB`.", None
    )
    concurrent_jobs: int = setting("Jobs", "Max jobs that run at once.", 2, ge=1, le=256)
    jobs_per_key: int = setting(
        "Jobs", "Max queued and running jobs per API key; more get a 429; 0 = unlimited.", 100, ge=0, le=1_000_000
    )
    job_hours_per_day: float = setting(
        "Jobs", "Max hours of audio per API key within 24 hours; 0 = unlimited.", 0.0, ge=0, le=1_000_000
    )
    jobs_keep_h: float = setting("Jobs", "Hours after its end at which a job is deleted.", 72.0, gt=0, le=87_600)
    archive_dir: Path | None = setting(
        "Archive",
        "Folder of an archive (`steno archive`), which `/archive` reviews. Whoever may use the server may change what "
        "its manifests say of clocks and segments. Unset = no archive.",
        None,
    )
    callback_secret: SecretStr | None = setting(
        "Jobs",
        "Signs callbacks (`callback_url`), as Standard Webhooks does; `whsec_…` is read as Base64. Unset = no "
        "callbacks. `URL_SCHEMES` and `URL_ALLOWLIST` apply to them.",
        None,
    )
