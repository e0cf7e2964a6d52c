"""The options of `steno live` that determine recognition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from steno.cli.options import SpeakerRequest


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """What to recognise, and where."""

    language: str | None
    words: bool
    translate_to: str | None
    url: str | None
    """The server, or several, comma-separated; None = this process."""
    api_key: str | None
    turn_detection: Literal["silence", "smart"] | None = None
    """None = the server's default, or that of `TURN_DETECTION`."""

    speakers: SpeakerRequest | None = None
    """None = they are not told apart."""

    @property
    def servers(self) -> tuple[str, ...]:
        """URLs of `url`: the server to start with, and those that take over from it."""
        if self.url is None:
            return ()
        return tuple(url.strip() for url in self.url.split(",") if url.strip()) or (self.url,)
