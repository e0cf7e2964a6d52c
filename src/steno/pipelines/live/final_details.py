"""What a live final gets after its recognition, while later events wait: word times from the aligner."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from steno.engine.queue import Priority
from steno.engine.ticket import Ticket
from steno.pipelines.align import with_words
from steno.pipelines.live.held_events import Completion
from steno.streaming.events import Final
from steno.types import Hypothesis

if TYPE_CHECKING:
    from steno.types import Audio

ALIGNMENT_TIMEOUT_S = 3.0
"""A final whose word times take longer is emitted with guessed ones. Later events of the stream wait behind it."""


class FinalDetails:
    """Completes the finals of one stream."""

    def __init__(self, ticket: Ticket) -> None:
        self._ticket = ticket
        self._to_align: dict[int, Audio] = {}
        """Audio to align with finals that are about to be applied, by segment."""

    def align(self, segment_id: int, audio: Audio) -> None:
        """The segment's final, which is about to come, shall be aligned with this audio."""
        self._to_align[segment_id] = audio

    def completion(self, final: Final) -> Completion | None:
        """What completes the final; None if nothing is to be done."""
        audio = self._to_align.pop(final.segment_id, None)
        return None if audio is None else self._aligned(final, audio)

    async def _aligned(self, final: Final, audio: Audio) -> Final:
        """`final` with word times on the stream's clock; unchanged if the aligner finds none."""
        text = Hypothesis(final.text, final.language, scores=final.scores)
        timed = await with_words(self._ticket, text, audio, Priority.LIVE_FINAL, ALIGNMENT_TIMEOUT_S)
        if not timed.words:
            return final
        start_s, end_s = final.start_s, final.end_s
        words = (
            replace(word, start_s=min(start_s + word.start_s, end_s), end_s=min(start_s + word.end_s, end_s))
            for word in timed.words
        )
        return replace(final, words=tuple(words))
