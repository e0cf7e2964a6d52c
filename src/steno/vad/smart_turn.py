"""Smart Turn v3.2: how likely an utterance is complete, from its sound (`data/README.md`).

The model is an encoder of the size of Whisper tiny's with one output. It reads the last 8 s and was trained on
utterances with about 200 ms of silence at the end. `onnxruntime` is imported when the model is loaded, with one
thread: parallelism is the server's, across streams.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from steno.onnx_session import open_session
from steno.types import SAMPLE_RATE
from steno.vad.whisper_features import log_mel

if TYPE_CHECKING:
    from steno.types import Audio

WINDOW = 8 * SAMPLE_RATE
"""Samples that the model reads: the end of the utterance, behind zeros if it is shorter."""

_MODEL = Path(__file__).parent / "data" / "smart_turn_v3.2.onnx"


class TurnDetector(Protocol):
    """Judges whether the speaker has finished. Calls may run in several threads at once."""

    def completeness(self, audio: Audio) -> float:
        """The probability, in [0, 1], that an utterance is complete; `audio`: all of it, up to a pause."""


class SmartTurn:
    """The `TurnDetector` of the model."""

    def __init__(self) -> None:
        self._session = open_session(_MODEL)

    def completeness(self, audio: Audio) -> float:
        window = np.zeros(WINDOW, np.float32)
        last = audio[-WINDOW:]
        window[WINDOW - len(last) :] = last
        (probabilities,) = self._session.run(None, {"input_features": log_mel(window)[None]})
        return float(probabilities[0, 0])
