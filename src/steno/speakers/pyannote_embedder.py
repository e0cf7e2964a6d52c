"""Speaker embeddings of pyannote.audio 4 (`pip install 'steno[pyannote]'`), for `SPEAKER_MODEL_ID=pyannote/…`.

The models are on Hugging Face and need their licence accepted there; the hub's own login is used. This has been written
against the package's source and not been run with one of its models.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steno.errors import ModelLoadError
from steno.speakers.embedder import MARGIN_SCALE, embedded

WINDOWS_PER_CALL = 32


class PyannoteEmbedder:
    """A `SpeakerEmbedder`. `pyannote/speaker-diarization-…` means the embedding inside that pipeline.

    Raises:
        ModelLoadError: the package is missing, or the model cannot be loaded.
    """

    thresholds = MARGIN_SCALE

    def __init__(self, model_id: str) -> None:
        if missing := pyannote_missing():
            raise ModelLoadError(f"SPEAKER_MODEL_ID={model_id}: {missing}")
        from pyannote.audio.pipelines.speaker_verification import PretrainedSpeakerEmbedding

        is_pipeline = "/speaker-diarization" in model_id
        source: Any = {"checkpoint": model_id, "subfolder": "embedding"} if is_pipeline else model_id
        try:
            self._embed = PretrainedSpeakerEmbedding(source)
        except Exception as error:  # the hub's, torch's and the package's own
            raise ModelLoadError(f"SPEAKER_MODEL_ID={model_id} cannot be loaded: {error}") from error
        self.dimension = int(self._embed.dimension)

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        def run(part: NDArray[np.float32]) -> NDArray[np.float32]:
            found: NDArray[np.float32] = self._embed(torch.from_numpy(np.ascontiguousarray(part)[:, None]))
            return found

        return embedded(windows, run, self.dimension, WINDOWS_PER_CALL)


def pyannote_missing() -> str | None:
    """Why pyannote.audio cannot be used; None if it is installed."""
    if find_spec("pyannote") is None or find_spec("pyannote.audio") is None:
        return "pyannote.audio is not installed; pip install 'steno[pyannote]'"
    return None
