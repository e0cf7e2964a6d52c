"""Smart Turn v3.2: how likely an utterance is complete, from its sound (`data/README.md`).

The model is an encoder of the size of Whisper tiny's with one output. It reads the last 8 s and was trained on
utterances with about 200 ms of silence at the end. `onnxruntime` is imported when the model is loaded, with one
thread: parallelism is the server's, across streams.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from steno.onnx_session import open_session
from steno.turn_detection.whisper_features import log_mel
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

WINDOW = 8 * SAMPLE_RATE
"""Samples that the model reads: the end of the utterance, behind zeros if it is shorter."""

_MODEL = Path(__file__).parent / "data" / "smart_turn_v3.2.onnx"


class SmartTurn:
    """The model. Calls may run in several threads at once."""

    def __init__(self) -> None:
        self._session = open_session(_MODEL)

    def completeness(self, audio: Audio) -> float:
        """The probability, in [0, 1], that an utterance is complete; `audio`: all of it, up to a pause."""
        window = np.zeros(WINDOW, np.float32)
        last = audio[-WINDOW:]
        window[WINDOW - len(last) :] = last
        (probabilities,) = self._session.run(None, {"input_features": log_mel(window)[None]})
        return float(probabilities[0, 0])
