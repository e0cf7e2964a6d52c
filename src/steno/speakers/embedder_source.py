"""One embedder for all who tell speakers apart in a process: recordings and live streams."""

from __future__ import annotations

import threading

from steno.speakers.embedder import SpeakerEmbedder
from steno.speakers.embedder_choice import load_embedder


class EmbedderSource:
    """Loads the embedder at the first call, and keeps it. `model_id`: as `SPEAKER_MODEL_ID`; None = the network that
    steno ships."""

    def __init__(self, model_id: str | None = None) -> None:
        self.model_id = model_id
        self._embedder: SpeakerEmbedder | None = None
        self._lock = threading.Lock()

    def load(self) -> SpeakerEmbedder:
        """The embedder; for a thread, as the first call takes up to seconds, and others wait for it. After a failure,
        the next call tries again.

        Raises:
            ModelLoadError: it cannot be loaded.
        """
        with self._lock:
            self._embedder = self._embedder or load_embedder(self.model_id)
            return self._embedder
