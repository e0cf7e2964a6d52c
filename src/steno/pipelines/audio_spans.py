"""Reads ranges of a recording in order, so that a long one is never in memory. It is decoded up to each range's end."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, BinaryIO

from steno.pipelines.recording_reader import DecoderRun, RecordingOpener
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
        self._run = DecoderRun(opener.resources)
        self._buffer = AudioBuffer()
        self._chunks: Generator[Audio, None, None] = opener.resources.decoders.decode(
            recording, max_seconds=opener.settings.max_audio_s, track=track, cancelled=self._run.cancelled
        )
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
        start, end = round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE)
        return await self._run.call(lambda: self._read(start, end))

    async def aclose(self) -> None:
        """Stop decoding and end the decoder. Idempotent."""
        await self._run.aclose(self._chunks.close)

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
