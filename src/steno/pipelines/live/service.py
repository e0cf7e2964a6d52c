"""Opens live streams, each with admission to the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from steno.engine.queue import Priority
from steno.pipelines.live.live_context import LiveContext
from steno.pipelines.live.live_options import LiveOptions, check
from steno.pipelines.live.live_stream import LiveStream


class LiveService:
    """Opens live streams. One per server."""

    def __init__(self, context: LiveContext) -> None:
        self._context = context

    @property
    def max_segment_s(self) -> float:
        """Max length of a segment."""
        return self._context.settings.segmenter.max_s

    def check(self, options: LiveOptions) -> LiveOptions:
        """Validate and normalise the options, as `live_options.check` does; `turn_detection` is never None after it."""
        backend = self._context.engine.backend
        can_translate = self._context.translator is not None
        detection = options.turn_detection or self._context.settings.turns.detection
        options = replace(options, turn_detection=detection)
        return check(options, backend.capabilities, backend.name, can_translate=can_translate)

    @asynccontextmanager
    async def open(self, name: str, options: LiveOptions, client: str = "") -> AsyncIterator[LiveStream]:
        """Open a stream with validated options. `name` is unique. Leaving the context closes the stream.

        Args:
            client: its address, for `Engine.admit`.

        Raises:
            OverloadedError, DrainingError: the engine does not admit it.
        """
        async with self._context.engine.admit(Priority.LIVE_PARTIAL, client=client) as ticket:
            stream = LiveStream(self._context, ticket, name, options)
            try:
                yield stream
            finally:
                await stream.aclose()

    async def aclose(self) -> None:
        """Close the shared resources. No stream can be opened afterwards."""
        await self._context.vad_stage.aclose()
        await self._context.turn_stage.aclose()
        await self._context.speaker_stage.aclose()
        await asyncio.to_thread(self._context.decoders.close)
