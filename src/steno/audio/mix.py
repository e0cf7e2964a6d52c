"""Mixes frames of any sample format and channel layout to mono."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av import AudioFrame, AudioLayout, AudioResampler

    from steno.types import Audio

CHANNEL_WEIGHTS = {
    "FC": 1.0,
    "FL": 0.7071,
    "FR": 0.7071,
    "DL": 0.7071,
    "DR": 0.7071,
    "BL": 0.5,
    "BR": 0.5,
    "BC": 0.5,
    "SL": 0.5,
    "SR": 0.5,
    "FLC": 0.7071,
    "FRC": 0.7071,
    "LFE": 0.0,
    "LFE2": 0.0,
}
"""ITU-R BS.775-3, table 2, the row for mono; by FFmpeg's names. LFE has no speech."""


MAX_PLANES = 7
"""Max planar channels that PyAV reads safely. FFmpeg keeps an array of 8 pointers to planes, or a longer one; PyAV's
`AudioFrame.planes` continues to the first null pointer, so with 8 or more it reads beyond the array."""


CANCELLED = 0.03
"""Channels cancel each other out where their mix has less than this share of the energy of unrelated channels."""

RESTORED = 0.25
"""Above this share they no longer do."""

MEMORY_S = 2.0
"""Energies are averaged over about this time."""


class Mixer:
    """Mixes to mono by a weighted mean, so that the result stays in [-1, 1] and needs no limiter.

    Stereo is mixed by the plain mean: one silent channel costs 6 dB. In 5.1 the centre, which has the dialogue, has the
    largest weight. Unknown layouts (a WAV file of six microphones) are mixed by the plain mean. Float samples beyond
    [-1, 1] are clipped; non-finite ones become 0. Channels that cancel each other out (a balanced cable with swapped
    wires) are not mixed (`CancellationGuard`).
    """

    def __init__(self) -> None:
        self._layout: AudioLayout | None = None
        self._weights: Audio = np.ones(1, np.float32)
        self._guard = CancellationGuard(self._weights)
        self._packer = Packer()

    def mix(self, frame: AudioFrame) -> Audio:
        """`frame` as mono float32 at its own rate, shape [n]."""
        if frame.layout != self._layout:
            self._layout = frame.layout
            self._weights = channel_weights([channel.name for channel in frame.layout.channels])
            self._guard = CancellationGuard(self._weights)
        if not frame.samples:
            return np.zeros(0, np.float32)
        frame = self._packer.pack(frame)
        samples = _to_float(frame.to_ndarray())
        if len(self._weights) == 1:
            alone: Audio = samples[0]
            return alone
        channels = samples if frame.format.is_planar else samples.reshape(-1, len(self._weights)).T
        mono: Audio = self._guard.weights(channels, frame.sample_rate) @ channels
        return mono


class CancellationGuard:
    """Replaces the mix by its loudest channel while the channels cancel each other out.

    A mix of unrelated channels has the sum of their weighted energies, a mix of equal ones more, and a mix of a channel
    with its own inverse none. The loudest channel alone holds all that an inverted copy would cancel, and the voice in
    the middle of stereo music as well.
    """

    def __init__(self, weights: Audio) -> None:
        """`weights`: those of the mix, shape [channels]."""
        self._mix = weights
        self._covariance = np.zeros((len(weights), len(weights)))
        self._weights = weights

    def weights(self, channels: Audio, sample_rate: int) -> Audio:
        """The weights for the next samples, `channels` of shape [channels, n]."""
        self._covariance *= max(1 - channels.shape[1] / (MEMORY_S * sample_rate), 0.0)
        self._covariance += channels @ channels.T
        weighted = self._covariance * np.outer(self._mix, self._mix)
        energies = weighted.diagonal()
        if not energies.any():
            return self._weights
        share = weighted.sum() / energies.sum()
        if share < CANCELLED:
            self._weights = np.zeros_like(self._mix)
            self._weights[energies.argmax()] = 1
        elif share > RESTORED:
            self._weights = self._mix
        return self._weights


class Packer:
    """Interleaves the channels of frames that PyAV cannot read as planes. Samples keep their format and values."""

    def __init__(self) -> None:
        self._resampler: AudioResampler | None = None
        self._shape: tuple[str, str, int] | None = None

    def pack(self, frame: AudioFrame) -> AudioFrame:
        """The frame, packed if it is planar with more than `MAX_PLANES` channels."""
        if not frame.format.is_planar or frame.layout.nb_channels <= MAX_PLANES:
            return frame
        from av import AudioResampler

        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or shape != self._shape:
            self._resampler, self._shape = AudioResampler(format=frame.format.packed), shape
        (packed,) = self._resampler.resample(frame)
        return packed


def channel_weights(names: list[str]) -> Audio:
    """One weight for each channel; they sum to 1."""
    weights = np.array([CHANNEL_WEIGHTS.get(name, -1.0) for name in names], np.float32)
    if weights.min() < 0 or weights.max() == 0:
        weights = np.ones(len(names), np.float32)
    normalised: Audio = weights / weights.sum()
    return normalised


def _to_float(samples: NDArray[Any]) -> Audio:
    kind, bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if kind == "f":
        if not np.isfinite(samples).all():
            samples = np.where(np.isfinite(samples), samples, 0)
        clipped: Audio = np.clip(samples, -1, 1).astype(np.float32, copy=False)
        return clipped
    centre = 2 ** (bits - 1) if kind == "u" else 0
    audio: Audio = (samples.astype(np.float32) - np.float32(centre)) * np.float32(2.0 ** (1 - bits))
    return audio
