"""Any speaker embedding as an ONNX file: raw samples, or Kaldi's filter banks as WeSpeaker and CAM++ take them.

The file's inputs say which. One float input of
- rank 2 ([windows, samples]) gets samples in [-1, 1];
- rank 3 with a last dimension of 80 ([windows, frames, 80]) gets log mel filter banks of 25 ms every 10 ms, Hamming
  windows, pre-emphasis 0.97, samples scaled to 16 bits, with each band's mean over the window subtracted.
The first output of rank 2 is the embedding. Files that want anything else are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steno.errors import ModelLoadError
from steno.onnx_session import open_session
from steno.speakers.embedder import MARGIN_SCALE, embedded
from steno.speakers.filter_banks import BANDS, filter_banks
from steno.types import SAMPLE_RATE

WINDOWS_PER_CALL = 32
INT16_SCALE = 32768.0


class OnnxEmbedder:
    """A `SpeakerEmbedder` from a file. Raises ModelLoadError: it cannot be read, or takes inputs that we don't make."""

    thresholds = MARGIN_SCALE

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ModelLoadError(f"SPEAKER_MODEL_ID: there is no file {path.name}")
        try:
            self._session = open_session(path)
        except Exception as error:  # ONNX Runtime has an exception class for each status
            raise _failed(path, "cannot be loaded", error) from error
        self._input, self._takes_banks = _input_of(self._session, path.name)
        self._output = next((each.name for each in self._session.get_outputs() if len(each.shape) == 2), None)
        if self._output is None:
            raise ModelLoadError(f"SPEAKER_MODEL_ID: {path.name} has no output of shape [windows, dimension]")
        try:
            self.dimension = self._run(np.zeros((1, SAMPLE_RATE), np.float32)).shape[1]
        except Exception as error:
            raise _failed(path, "cannot be run on a second of audio", error) from error

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return embedded(windows, self._run, self.dimension, WINDOWS_PER_CALL)

    def _run(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        values = filter_banks(windows * np.float32(INT16_SCALE)) if self._takes_banks else windows
        found: NDArray[np.float32] = self._session.run([self._output], {self._input: np.ascontiguousarray(values)})[0]
        return found


def _failed(path: Path, what: str, error: Exception) -> ModelLoadError:
    """Clients get the message, so it has the name of the file, not its folder."""
    return ModelLoadError(f"SPEAKER_MODEL_ID: {path.name} {what}: {str(error).replace(str(path), path.name)}")


def _input_of(session: Any, name: str) -> tuple[str, bool]:
    """Name of the input, and whether it takes filter banks."""
    inputs = session.get_inputs()
    if len(inputs) == 1 and inputs[0].type == "tensor(float)":
        shape = inputs[0].shape
        if len(shape) == 2:
            return inputs[0].name, False
        if len(shape) == 3 and shape[2] == BANDS:
            return inputs[0].name, True
    takes = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
    raise ModelLoadError(
        f"SPEAKER_MODEL_ID: {name} takes {takes}; supported is one float input, [windows, samples] or "
        f"[windows, frames, {BANDS}]"
    )
