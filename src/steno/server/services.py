"""The objects that routes use, created once by `create_app`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection, Request

from steno.captions.cues import CueStyle
from steno.engine.front import Engine
from steno.engine.front_table import FrontTable
from steno.errors import UnknownModelError
from steno.pipelines.live.service import LiveService
from steno.pipelines.recording_reader import RecordingOpener
from steno.server.live.entry import LiveEntry
from steno.server.live.live_socket import SocketLimits
from steno.server.metrics import Metrics
from steno.server.middleware.auth import bearer_of, key_index_of
from steno.stage_times import StageTimes
from steno.translation.translator import Translator

if TYPE_CHECKING:
    from steno.archive.archive_review import ArchiveReview
    from steno.jobs.job_service import JobService
    from steno.outbound.fetch import UrlFetcher
    from steno.server.http.result_cache import ResultCache
    from steno.server.http.signed_links import SignedLinks


@dataclass(frozen=True, slots=True)
class Services:
    engine: Engine
    metrics: Metrics
    recordings: RecordingOpener
    aliases: Sequence[str]
    style: Callable[[int, int], CueStyle]
    """Makes a caption style from (max columns of a line, max lines of a cue)."""
    max_stretch_s: float
    """Longest audio that the aligner gets of a known text."""
    translator: Translator | None
    results: ResultCache | None
    """Keeps answers; None = nothing is kept."""
    shares_results: bool
    """Whether a client may get an answer that was made for another API key."""
    jobs: JobService | None
    """Stored jobs; None = the server takes none."""
    archive: ArchiveReview | None
    """The archive that is reviewed here; None = there is none."""
    links: SignedLinks
    urls: UrlFetcher | None
    """Fetches recordings from URLs; None = the server does not."""
    live: LiveService
    entry: LiveEntry
    socket_limits: SocketLimits
    text_temperature: float
    caption_temperature: float
    wait_for_model: bool
    """Whether `/ready` waits for the model; true if it is preloaded."""
    fronts: FrontTable | None = None
    """What all fronts count together; None = this process is the only one."""
    started: float = field(default_factory=time.monotonic)

    def stage_times(self) -> StageTimes:
        """For one result; its stages are counted in the metrics too."""
        return StageTimes(self.metrics.stage_took)

    def owner_of(self, request: Request) -> str:
        """Whose the request's results are: a digest of its API key; empty, if the server has no keys."""
        key = bearer_of(request.scope) if key_index_of(request.scope) is not None else None
        return hashlib.blake2b(key.encode(), digest_size=16).hexdigest() if key else ""

    def cache_owner(self, request: Request) -> str:
        """Who may get the answers to this request again."""
        return "" if self.shares_results else self.owner_of(request)

    def check_model(self, model: str | None) -> str:
        """Return the served model's id if a request's `model` matches it.

        Raises:
            UnknownModelError: `model` is neither the served id nor an alias.
        """
        served = self.engine.backend.model_id
        if not model or model == served or model in self.aliases or "*" in self.aliases:
            return served
        known = ", ".join([served, *self.aliases])
        raise UnknownModelError(f"model {model[:100]!r} is not served; expected one of: {known}", param="model")


def services_of(request: HTTPConnection) -> Services:
    """The app's services. For `Depends`."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services
