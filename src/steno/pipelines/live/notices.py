"""Events of a live stream: those of its session, and those that concern the whole stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from steno.errors import DrainingError, StenoError
from steno.streaming.events import Event


@dataclass(frozen=True, slots=True)
class Lagging:
    """Recognition cannot keep up: `behind_s` of audio has no text yet. `rtf` is the real-time factor."""

    behind_s: float
    rtf: float


@dataclass(frozen=True, slots=True)
class Loading:
    """The model is being loaded: text comes once that `is_over`. Audio is kept meanwhile."""

    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A failure that concerns no segment, such as audio that cannot be decoded or a model that cannot be loaded."""

    error: StenoError


@dataclass(frozen=True, slots=True)
class Draining:
    """The server shuts down. The session ends with the current utterance, or earlier if that is long."""

    error: DrainingError
    """Sent to the client when the session ends."""


@dataclass(frozen=True, slots=True)
class SpeakersChanged:
    """Segments whose final has been emitted turn out to have another speaker: labels by segment id."""

    speakers: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Notice:
    """A message of the server's own, sent in order with the events."""

    message: Mapping[str, Any]


LiveEvent: TypeAlias = Event | Lagging | Loading | Failed | Draining | SpeakersChanged
