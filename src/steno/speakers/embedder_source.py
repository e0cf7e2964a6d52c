"""One embedder for all who tell speakers apart in a process: recordings and live streams."""

from __future__ import annotations

import threading
from collections.abc import Callable

from steno.errors import ModelLoadError
from steno.speakers.embedder import SpeakerEmbedder
from steno.speakers.embedder_choice import load_embedder


class EmbedderSource:
    """Loads the embedder at the first call, and keeps it.

    Args:
        model_id: as `SPEAKER_MODEL_ID`; None = the network that steno ships.
        on_failure: called in the loading thread after each load that failed.
    """

    def __init__(self, model_id: str | None = None, on_failure: Callable[[], None] = lambda: None) -> None:
        self.model_id = model_id
        self._on_failure = on_failure
        self._embedder: SpeakerEmbedder | None = None
        self._lock = threading.Lock()

    def load(self) -> SpeakerEmbedder:
        """The embedder; for a thread, as the first call takes up to seconds, and others wait for it. After a failure,
        the next call tries again.

        Raises:
            ModelLoadError: it cannot be loaded.
        """
        with self._lock:
            if self._embedder is None:
                self._embedder = self._loaded()
            return self._embedder

    def _loaded(self) -> SpeakerEmbedder:
        try:
            return load_embedder(self.model_id)
        except ModelLoadError:
            self._on_failure()
            raise
