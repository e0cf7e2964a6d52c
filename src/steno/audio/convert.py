"""Streaming conversion of decoded frames to mono at `SAMPLE_RATE`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from steno.audio.container import check_shape
from steno.audio.mix import Mixer
from steno.audio.resample import Resampler

if TYPE_CHECKING:
    from av import AudioFrame

    from steno.types import Audio


class Converter:
    """Mixes and resamples frames, whose rate may change; values in [-1, 1]."""

    def __init__(self) -> None:
        self._mixer = Mixer()
        self._resampler: Resampler | None = None

    def convert(self, frame: AudioFrame) -> Audio:
        """Raises UndecodableAudioError: the frame's rate or channel count is not supported."""
        rest = None
        check_shape(frame.sample_rate, frame.layout.nb_channels)
        if self._resampler is None or self._resampler.rate != frame.sample_rate:
            rest, self._resampler = self.flush(), Resampler(frame.sample_rate)
        audio = _clipped(self._resampler.feed(self._mixer.mix(frame)))
        return audio if rest is None else np.concatenate([rest, audio])

    def flush(self) -> Audio:
        """The samples held back by the resampler. The next frame starts a new stream."""
        if self._resampler is None:
            return np.zeros(0, np.float32)
        return _clipped(self._resampler.flush())


def _clipped(audio: Audio) -> Audio:
    """Clip the resampler's overshoot."""
    clipped: Audio = np.clip(audio, -1, 1)
    return clipped
