"""The words of an event, for dialects whose results always have them."""

from __future__ import annotations

from steno.alignment.heuristic import spread
from steno.streaming.events import Final, Partial
from steno.types import Word


def words_of_event(event: Partial | Final) -> tuple[Word, ...]:
    """Words with estimated times if there are none: 0.5 ms for 30 s of text."""
    if event.words or not event.text:
        return event.words
    spoken = event.spoken if isinstance(event, Final) else None
    return spread(event.text, *(spoken or (event.start_s, event.end_s)), event.language)
