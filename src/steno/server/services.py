"""What routes work with, made once by `create_app`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from steno.captions.cues import CueStyle
from steno.engine.engine import Engine
from steno.errors import UnknownModelError
from steno.pipelines.live.service import LiveService
from steno.pipelines.recording_reader import RecordingOpener
from steno.server.live.entry import LiveEntry
from steno.server.live.live_socket import SocketLimits
from steno.server.metrics import Metrics
from steno.translation.translator import Translator


@dataclass(frozen=True, slots=True)
class Services:
    engine: Engine
    metrics: Metrics
    pieces: RecordingOpener
    aliases: Sequence[str]
    style: Callable[[int, int], CueStyle]
    """Caption rules for (columns of a line, lines of a cue)."""
    translator: Translator | None
    live: LiveService
    entry: LiveEntry
    socket_limits: SocketLimits
    text_temperature: float
    caption_temperature: float
    wait_for_model: bool
    """Whether `/ready` waits for the model: it does where the model is loaded at the start."""
    started: float = field(default_factory=time.monotonic)

    def check_model(self, model: str | None) -> str:
        """The served model's id for a request's `model`.

        Raises:
            UnknownModelError: it is neither the served id nor an alias.
        """
        served = self.engine.backend.model_id
        if not model or model == served or model in self.aliases or "*" in self.aliases:
            return served
        known = ", ".join([served, *self.aliases])
        raise UnknownModelError(f"model {model[:100]!r} is not served here; use one of: {known}", param="model")


def services_of(request: HTTPConnection) -> Services:
    """For `Depends`."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services
