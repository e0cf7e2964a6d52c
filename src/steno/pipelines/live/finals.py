"""Adds word times, a caption and a translation to finals, and emits them in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from steno.alignment.confidence import scored
from steno.alignment.heuristic import spread
from steno.captions.cues import CueStyle
from steno.captions.incremental import IncrementalCaptions
from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.notices import SpeakersChanged
from steno.streaming.events import Final, Partial
from steno.translation.translator import LanguagePair, Translator
from steno.types import Segment

TRANSLATION_S = 10.0
"""Time limit of a live translation. After it the final is emitted without a translation."""
MAX_WAITING = 16
"""Max finals that wait for a translation. Further ones are emitted without."""


class Finals:
    """Completes the finals of one stream and emits them in the order in which they came."""

    def __init__(
        self, emit: Callable[[Final | Partial | SpeakersChanged], None], style: CueStyle, translator: Translator | None
    ) -> None:
        self._emit = emit
        self._style = style
        self._translator = translator
        self._captions: IncrementalCaptions | None = None
        self._waiting: deque[tuple[Final | SpeakersChanged, asyncio.Task[str | None]]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def done(self) -> None:
        """Return once all finals taken have been emitted."""
        while self._waiting:
            await asyncio.wait([self._waiting[0][1]])
            await asyncio.sleep(0)

    def take(self, final: Final, options: LiveOptions) -> None:
        final = self._complete(final, options)
        wants_translation = options.translate_to and final.text and not final.error and self._translator
        if not wants_translation and not self._waiting:
            self._emit(final)
            return
        # Emit the whole source text at once, as a partial; the final follows with the translation.
        self._emit(_whole_text_partial(final))
        goes_without = not wants_translation or len(self._waiting) >= MAX_WAITING
        task = asyncio.create_task(
            _no_translation() if goes_without else self._translate(final, options), name="translate"
        )
        self._waiting.append((final, task))
        task.add_done_callback(lambda _: self._release())

    def take_after(self, event: SpeakersChanged) -> None:
        """Emit `event` after the finals that it may concern."""
        if not self._waiting:
            self._emit(event)
            return
        task = asyncio.create_task(_no_translation(), name="speakers changed")
        self._waiting.append((event, task))
        task.add_done_callback(lambda _: self._release())

    async def aclose(self) -> None:
        tasks = [task for _, task in self._waiting]
        self._waiting.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _release(self) -> None:
        while self._waiting and self._waiting[0][1].done():
            event, task = self._waiting.popleft()
            translation = None if task.cancelled() or task.exception() else task.result()
            self._emit(replace(event, translation=translation) if isinstance(event, Final) else event)

    async def _translate(self, final: Final, options: LiveOptions) -> str | None:
        assert self._translator is not None
        assert options.translate_to is not None
        languages = LanguagePair(options.translate_to, final.language)
        (line,) = await self._translator.translate([final.text], languages, TRANSLATION_S, is_live=True)
        return None if line.problem else line.text

    def _complete(self, final: Final, options: LiveOptions) -> Final:
        if not final.text:
            return final
        if options.words or options.captions:
            final = with_timed_words(final)
        if options.captions:
            self._captions = self._captions or IncrementalCaptions(
                options.captions, self._style, first=options.first_cue
            )
            segment = Segment(
                final.segment_id, final.start_s, final.end_s, final.text, final.language, final.words, final.confidence
            )
            final = replace(final, caption=self._captions.add(segment, final.end_s))
        return final


def with_timed_words(final: Final) -> Final:
    """The final with words; where there are none, their times are estimated from their length."""
    if final.timing is not None:
        return final
    if final.words:
        return replace(final, timing="accurate")
    words = spread(final.text, *(final.spoken or (final.start_s, final.end_s)), final.language)
    return replace(final, words=scored(words, final.text, final.scores), timing="fast")


def _whole_text_partial(final: Final) -> Partial:
    return Partial(
        final.segment_id, final.start_s, final.end_s, final.text, "", language=final.language, words=final.words
    )


async def _no_translation() -> None:
    return None
