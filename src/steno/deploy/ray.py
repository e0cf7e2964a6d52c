"""The application for Ray Serve: `serve run steno.deploy.ray:app`, with steno's settings from the environment.

Annotations are not postponed here: Serve takes the type of the arguments from the annotation of `app`.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy
from ray.serve.schema import LoggingConfig

from steno import settings
from steno.deploy.engine_replica import EngineReplica
from steno.deploy.front_replica import FrontReplica
from steno.errors import SettingsError
from steno.settings import Settings

UNCOUNTED_REQUESTS = 64
"""Requests beyond sessions and uploads that a front takes: health checks, metrics, pages."""
MAX_HANDLE_QUEUE = 64
"""Requests that wait at a proxy while all fronts are full; more get a 503."""
CLOSE_S = 15.0
"""Time to close after draining, within Ray's time limit."""
ENGINE_DRAIN_S = 60.0
"""Time that a front has to end its utterances and uploads' pieces on an engine that is stopped."""
SCALE_DOWN_S = 300.0
QUIET = LoggingConfig(enable_access_log=False)
"""steno logs requests itself, and replicas are looked up every second."""


class AppOptions(BaseModel):
    """Arguments of the application: `serve run steno.deploy.ray:app fronts=2 engines=2`, or `args` in a config file."""

    model_config = ConfigDict(extra="forbid")

    fronts: int = Field(1, ge=1)
    max_fronts: int | None = Field(None, ge=1)
    """Fronts are added up to this number; None = none are."""
    sessions_per_front: int | None = Field(None, ge=1)
    """Open requests, live sessions included, above which a front is added; None = 0.7 x MAX_SESSIONS."""
    cpus_per_front: float = Field(1, ge=0)
    engines: int = Field(1, ge=1)
    max_engines: int | None = Field(None, ge=1)
    """Engines are added up to this number; None = none are."""
    sessions_per_engine: int = Field(64, ge=1)
    """Open live sessions above which an engine is added."""
    jobs_per_engine: int = Field(32, ge=1)
    """Waiting jobs above which an engine is added."""
    cpus_per_engine: float = Field(1, ge=0)
    gpus_per_engine: float = Field(0, ge=0)
    """May be a fraction: 0.5 places two engines on a GPU."""


def app(args: AppOptions) -> serve.Application:
    """Build the application.

    Raises:
        SettingsError: the environment has an invalid setting, or one that Serve does not support.
    """
    config = load_settings()
    engines = serve.deployment(EngineReplica, **_engine_options(config, args))
    fronts = serve.deployment(serve.ingress()(FrontReplica), **_front_options(config, args))
    application: serve.Application = fronts.bind(config, engines.bind(config))
    return application


def load_settings() -> Settings:
    """The settings for every replica, from the environment. Serve has the fronts, so `FRONTS` divides nothing.

    Raises:
        SettingsError: a setting is invalid; or `JOBS_DB` is set. Each front would take all running jobs for its own:
            Serve starts fronts at any time, also beside one that it replaces, and they do not know of each other.
    """
    config = settings.load(fronts=1)
    if config.jobs_db is not None:
        text = f"JOBS_DB={config.jobs_db}: stored jobs are not supported under Ray Serve; unset it"
        raise SettingsError(text, param="JOBS_DB")
    return config


def _front_options(config: Settings, args: AppOptions) -> dict[str, Any]:
    target = args.sessions_per_front or max(int(0.7 * config.max_sessions), 1)
    return {
        "name": "Front",
        "logging_config": QUIET,
        "max_ongoing_requests": config.max_sessions + config.max_queue + UNCOUNTED_REQUESTS,
        "max_queued_requests": MAX_HANDLE_QUEUE,
        "graceful_shutdown_timeout_s": config.drain_timeout + CLOSE_S,
        "ray_actor_options": {"num_cpus": args.cpus_per_front},
        **_replicas(args.fronts, args.max_fronts, target_ongoing_requests=target),
    }


def _engine_options(config: Settings, args: AppOptions) -> dict[str, Any]:
    policy = AutoscalingPolicy(
        policy_function="steno.deploy.engine_scaling:EngineScaling",
        policy_kwargs={"sessions": args.sessions_per_engine, "jobs": args.jobs_per_engine},
    )
    return {
        "name": "Engine",
        "logging_config": QUIET,
        "graceful_shutdown_timeout_s": max(config.drain_timeout, ENGINE_DRAIN_S) + 2 * CLOSE_S,
        "health_check_period_s": 5.0,
        "health_check_timeout_s": 60.0,  # importing large libraries stops all threads
        "ray_actor_options": {"num_cpus": args.cpus_per_engine, "num_gpus": args.gpus_per_engine},
        **_replicas(args.engines, args.max_engines, policy=policy),
    }


def _replicas(least: int, most: int | None, **scaling: Any) -> dict[str, Any]:
    if most is None or most <= least:
        return {"num_replicas": least}
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=least, max_replicas=most, downscale_delay_s=SCALE_DOWN_S, **scaling
        )
    }
