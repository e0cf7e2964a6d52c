"""The way in for live streams: what they share, and a place in the engine for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from steno.engine.queue import Priority
from steno.pipelines.live.live_context import LiveContext
from steno.pipelines.live.live_options import LiveOptions, check
from steno.pipelines.live.stream import LiveStream


class LiveService:
    """Opens streams. One for a server."""

    def __init__(self, context: LiveContext) -> None:
        self._context = context

    @property
    def max_segment_s(self) -> float:
        """No segment is longer."""
        return self._context.settings.segmenter.max_s

    def check(self, options: LiveOptions) -> LiveOptions:
        """The options as they will be used. Raises what `options.check` does."""
        backend = self._context.engine.backend
        can_translate = self._context.translator is not None
        return check(options, backend.capabilities, backend.name, can_translate=can_translate)

    @asynccontextmanager
    async def open(self, name: str, options: LiveOptions, client: str = "") -> AsyncIterator[LiveStream]:
        """A stream with checked options. `name` is unique; leaving ends all that the stream started.

        Args:
            client: its address, for `Engine.admit`.

        Raises:
            OverloadedError, DrainingError: it is not let in.
        """
        async with self._context.engine.admit(Priority.LIVE_PARTIAL, client=client) as ticket:
            stream = LiveStream(self._context, ticket, name, options)
            try:
                yield stream
            finally:
                await stream.aclose()

    async def aclose(self) -> None:
        """End what the streams share. No stream can be opened any more."""
        await self._context.hearing.aclose()
        await asyncio.to_thread(self._context.decoders.close)
