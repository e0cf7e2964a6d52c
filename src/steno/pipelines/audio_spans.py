"""Reads ranges of a recording in order, so that a long one is never in memory. It is decoded up to each range's end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, BinaryIO

from steno.pipelines.recording_reader import DecoderSlot, RecordingOpener
from steno.streaming.audio_buffer import AudioBuffer
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from pathlib import Path

    from steno.types import Audio


class AudioSpans:
    """One recording, read from its beginning. Use it as `async with`; `read` belongs to one task.

    Args:
        opener: whose decoders are used. A decoder is in use from the first `read` on.
        track: as in `steno.audio.decode.decode`.
    """

    def __init__(self, opener: RecordingOpener, recording: BinaryIO | Path, track: str | None = None) -> None:
        self._resources = opener.resources
        self._slot = DecoderSlot(self._resources.free)
        self._cancelled = threading.Event()
        self._buffer = AudioBuffer()
        self._chunks: Generator[Audio, None, None] = self._resources.decoders.decode(
            recording, max_seconds=opener.settings.max_audio_s, track=track, cancelled=self._cancelled
        )
        self._reading: asyncio.Future[Audio] | None = None
        self.decode_s = 0.0

    async def __aenter__(self) -> AudioSpans:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def read(self, start_s: float, end_s: float) -> Audio:
        """The samples of a range; fewer if the recording ends before. Starts never decrease from call to call.

        Raises:
            AudioError: as `DecoderPool.decode` does.
            UnavailableError: no decoder can be started.
        """
        await self._slot.acquire()
        start, end = round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE)
        loop = asyncio.get_running_loop()
        self._reading = loop.run_in_executor(self._resources.threads, self._read, start, end)
        # Shielded, because a thread cannot be interrupted and `aclose` must still be able to wait for it.
        return await asyncio.shield(self._reading)

    async def aclose(self) -> None:
        """Stop decoding and end the decoder. Idempotent."""
        self._cancelled.set()
        if self._reading is not None:
            await asyncio.wait([self._reading])
            if not self._reading.cancelled():
                self._reading.exception()  # marks it as retrieved; `read` has raised it or was cancelled
        try:
            await asyncio.get_running_loop().run_in_executor(self._resources.threads, self._chunks.close)
        finally:
            self._slot.release()

    def _read(self, start: int, end: int) -> Audio:
        """Runs in a thread."""
        began = time.perf_counter()
        self._buffer.forget_before(min(start, self._buffer.end))
        while self._buffer.end < end:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._buffer.append(chunk)
            self._buffer.forget_before(min(start, self._buffer.end))
        self.decode_s += time.perf_counter() - began
        end = min(end, self._buffer.end)
        return self._buffer.between(min(start, end), end).copy()
