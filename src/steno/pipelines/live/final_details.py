"""What a live final gets after its recognition, while later events wait: word times from the aligner, and speakers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steno.engine.queue import Priority
from steno.engine.ticket import Ticket
from steno.pipelines.align import with_words
from steno.pipelines.live.finals import with_timed_words
from steno.pipelines.live.held_events import Completion
from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.speaker_stage import OnChanges, SpeakerStage, SpeakerStream
from steno.pipelines.recording_speakers import MAX_SPEAKERS
from steno.pipelines.speaker_labels import labelled_words
from steno.streaming.events import Event, Final, Silence, SpeechEnded
from steno.types import Hypothesis

if TYPE_CHECKING:
    from steno.speakers.diarizer import Diarization
    from steno.types import Audio

ALIGNMENT_TIMEOUT_S = 3.0
"""A final whose word times take longer is emitted with guessed ones. Later events of the stream wait behind it."""


class FinalDetails:
    """Completes the finals of one stream. Close it.

    Args:
        on_changes: takes labels, by segment, that turn out to be others than their finals had, if the options ask for
            them.
    """

    def __init__(self, ticket: Ticket, stage: SpeakerStage, on_changes: OnChanges) -> None:
        self._ticket = ticket
        self._stage = stage
        self._on_changes = on_changes
        self._to_align: dict[int, Audio] = {}
        """Audio to align with finals that are about to be applied, by segment."""
        self._speakers: SpeakerStream | None = None
        self._threshold = 0.5

    @property
    def hears_speakers(self) -> bool:
        """Whether `hear` is to be called."""
        return self._speakers is not None

    def prepare(self, options: LiveOptions, threshold: float) -> None:
        """Start telling the speakers apart, if they are asked for. `threshold`: of speech, by default."""
        self._threshold = threshold if options.threshold is None else options.threshold
        if options.diarize and self._speakers is None:
            from steno.speakers.voice_clusters import SpeakerCount

            count = SpeakerCount(
                options.num_speakers or 1, options.num_speakers or options.max_speakers or MAX_SPEAKERS
            )
            self._speakers = self._stage.open_stream(
                count, options.offset_s, self._on_changes if options.speaker_updates else None
            )

    async def hear(self, frames: NDArray[np.float32], probabilities: NDArray[np.float32], end: int) -> None:
        """As `SpeakerStream.hear`, with speech probabilities."""
        if self._speakers is not None:
            await self._speakers.hear(frames, probabilities >= self._threshold, end)

    def align(self, segment_id: int, audio: Audio) -> None:
        """The segment's final, which is about to come, shall be aligned with this audio."""
        self._to_align[segment_id] = audio

    def take(self, event: Event, options: LiveOptions) -> Completion | None:
        """Take an event. Returns what completes it, for a final that is to be completed."""
        if isinstance(event, Final):
            return self._completion(event, options)
        if self._speakers is not None and isinstance(event, SpeechEnded):
            self._speakers.end_segment(event.end_s)
        if self._speakers is not None and isinstance(event, Silence) and event.discarded:
            self._speakers.forget(event.start_s, event.end_s)
        return None

    def discard(self, end_s: float) -> None:
        """What is heard up to here is discarded; what it was, a `Silence` says in its turn."""
        if self._speakers is not None:
            self._speakers.end_segment(end_s)

    async def answered(self) -> None:
        """Return once the speakers of all finals so far are known, but no later than a final waits for them."""
        if self._speakers is not None:
            await self._speakers.answered()

    async def stop_unwanted(self, options: LiveOptions) -> None:
        """Stop telling the speakers apart if these options don't ask for it; finals on their way get them. If they are
        asked for again, their names begin anew."""
        if self._speakers is not None and not options.diarize:
            speakers, self._speakers = self._speakers, None
            try:
                await speakers.answered()
            finally:
                await speakers.aclose()

    async def aclose(self) -> None:
        """Idempotent."""
        if self._speakers is not None:
            await self._speakers.aclose()

    def _completion(self, final: Final, options: LiveOptions) -> Completion | None:
        audio = self._to_align.pop(final.segment_id, None)
        if self._speakers is None or not options.diarize:
            return None if audio is None else self._aligned(final, audio)
        if final.text:
            return self._with_speakers(self._speakers, final, audio, options)
        if final.error is None:  # no speech; a failed final may have had some
            self._speakers.forget(final.start_s, final.end_s)
        return None

    async def _with_speakers(
        self, speakers: SpeakerStream, final: Final, audio: Audio | None, options: LiveOptions
    ) -> Final:
        """The final with the speakers of its words, which are found while the words are aligned."""
        async with asyncio.TaskGroup() as group:
            labelling = group.create_task(speakers.label(final.segment_id, final.start_s, final.end_s))
            aligning = group.create_task(self._aligned(final, audio)) if audio is not None else None
        final = aligning.result() if aligning is not None else final
        found = labelling.result()
        return final if found is None else _labelled(final, found, words=options.words)

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


def _labelled(final: Final, found: Diarization, *, words: bool) -> Final:
    if words:
        final = with_timed_words(final)
        final = replace(final, words=tuple(labelled_words(final.words, found)))
    return replace(final, speaker=found.main_speaker)
