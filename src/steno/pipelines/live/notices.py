"""What a live client is told: the session's events, and what befalls the stream as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from steno.errors import DrainingError, StenoError
from steno.streaming.events import Event


@dataclass(frozen=True, slots=True)
class Lagging:
    """The server cannot keep up: so much audio has no text yet; `rtf` seconds pass for a second of it."""

    behind_s: float
    rtf: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Something went wrong that concerns no segment: the audio cannot be decoded, the model cannot be loaded."""

    error: StenoError


@dataclass(frozen=True, slots=True)
class Draining:
    """The server shuts down: the session ends with the utterance that is being spoken, or earlier if that is long."""

    error: DrainingError
    """Why, as the client is told it when the session ends."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What somebody else wants told to the client, in its place among the events."""

    message: Mapping[str, Any]


LiveEvent: TypeAlias = Event | Lagging | Failed | Draining
