"""The options of `steno live` that determine recognition."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """What to recognise, and where."""

    language: str | None
    words: bool
    translate_to: str | None
    url: str | None
    """The server; None = this process."""
    api_key: str | None
