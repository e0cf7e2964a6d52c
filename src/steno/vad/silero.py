"""Silero VAD v6: how likely each 32 ms frame is speech.

One model (`data/README.md`), run in two ways: `SileroVad` runs many frames of one file in a call, `BatchedVad` one
frame of many live streams. Both see each frame with the last 64 samples of the one before, as the model was trained.

The level is not normalised: the model detects clean speech with peaks at −46 dBFS as reliably as at −6 (`tests/vad`),
and an adaptive gain would amplify noise in every pause.

`onnxruntime` is imported when a model is loaded, with one thread: parallelism is the server's, across streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from steno.onnx_session import open_session

if TYPE_CHECKING:
    from steno.types import Audio

FRAME = 512
"""Samples in a frame: 32 ms."""

CONTEXT = 64
STATE = 128
FRAMES_PER_CALL = 256
"""Bounds the memory of a call (0.6 MB of input); more than this saves no time."""

_MODEL = Path(__file__).parent / "data" / "silero_vad_16k.onnx"
_OUTPUTS = ["speech_probs", "hn", "cn"]


class SileroVad:
    """Speech probabilities of one file or stream. One thread at a time; `fresh` ones share the weights safely."""

    def __init__(self) -> None:
        self._session = open_session(_MODEL)
        self._rest: Audio
        self.reset()

    def fresh(self) -> SileroVad:
        """A new stream that shares the loaded model; it may run in another thread."""
        other = object.__new__(SileroVad)
        other._session = self._session
        other.reset()
        return other

    def feed(self, audio: Audio) -> NDArray[np.float32]:
        """Take audio of any length; return a probability in [0, 1] for each frame that it completes, shape [frames]."""
        samples = np.concatenate([self._rest, audio])
        frames = (len(samples) - CONTEXT) // FRAME
        self._rest = samples[frames * FRAME :].copy()
        if not frames:
            return np.zeros(0, np.float32)
        windows = sliding_window_view(samples, CONTEXT + FRAME)[::FRAME]
        return np.concatenate([self._run(windows[i : i + FRAMES_PER_CALL]) for i in range(0, frames, FRAMES_PER_CALL)])

    def flush(self) -> NDArray[np.float32]:
        """Complete the last frame with silence and return its probability, if there is one. Starts a new stream."""
        missing = -(len(self._rest) - CONTEXT) % FRAME
        last = self.feed(np.zeros(missing, np.float32))
        self.reset()
        return last

    def reset(self) -> None:
        self._rest = np.zeros(CONTEXT, np.float32)
        self._h = np.zeros((1, 1, STATE), np.float32)
        self._c = np.zeros((1, 1, STATE), np.float32)

    def _run(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        inputs = {"input": np.ascontiguousarray(windows)[:, None], "h": self._h, "c": self._c}
        probabilities: NDArray[np.float32]
        probabilities, self._h, self._c = self._session.run(_OUTPUTS, inputs)
        return probabilities[:, 0]


@dataclass(slots=True, eq=False)
class VadState:
    """The model's recurrent state of one stream."""

    values: NDArray[np.float32] = field(default_factory=lambda: np.zeros(2 * STATE + CONTEXT, np.float32))
    """The LSTM's `h` and `c`, and the end of the frame before."""


class BatchedVad:
    """One frame of many streams per call; per stream, a batch of 32 costs a quarter of a batch of one.

    It holds no stream state: each `VadState` is the caller's. Calls may run in several threads at once, as long as no
    state is used by two of them.
    """

    def __init__(self) -> None:
        self._session = open_session(_MODEL)

    def step(self, frames: NDArray[np.float32], states: Sequence[VadState]) -> NDArray[np.float32]:
        """`frames`, shape [streams, 512], one of each stream; returns probabilities, shape [streams].

        Advances `states` by a frame; they must be distinct objects.
        """
        if frames.shape != (len(states), FRAME):
            raise ValueError(f"frames must have the shape ({len(states)}, {FRAME}), got {frames.shape}")
        if not states:
            return np.zeros(0, np.float32)
        before = np.concatenate([state.values for state in states]).reshape(len(states), -1)
        inputs = {
            "input": np.concatenate([before[:, 2 * STATE :], frames], axis=1)[None],
            "h": np.ascontiguousarray(before[None, :, :STATE]),
            "c": np.ascontiguousarray(before[None, :, STATE : 2 * STATE]),
        }
        probabilities, h, c = self._session.run(_OUTPUTS, inputs)
        after = np.concatenate([h[0], c[0], frames[:, -CONTEXT:]], axis=1)
        for state, values in zip(states, after, strict=True):
            state.values = values.copy()  # a view would keep the whole batch in memory
        batch: NDArray[np.float32] = probabilities[0]
        return batch
