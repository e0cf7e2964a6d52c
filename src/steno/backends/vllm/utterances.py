"""The cached state of live utterances: their features, and the tokens of their last hypothesis."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steno.backends.vllm.token_generator import FeatureWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from steno.backends.drafts import Ids
    from steno.backends.qwen3_asr.log_mel import LogMel
    from steno.types import Audio


@dataclass(slots=True, eq=False)
class Utterance:
    """One live utterance, or one piece of a recording."""

    log_mel: LogMel
    tokens: Ids = ()
    """The last hypothesis, language header included."""
    logprobs: Sequence[float] = ()
    language: str | None = None
    """The language that the last hypothesis was forced to; None = detected."""
    is_trusted: bool = False
    """Whether a text that repeats the context has been confirmed as spoken."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """An aborted step may still compute features when the next one starts."""

    def windows(self, audio: Audio, new_log_mel: Callable[[], LogMel]) -> tuple[FeatureWindow, ...]:
        """The feature windows of `audio`, which starts with the audio of the call before.

        Args:
            new_log_mel: creates features that replace the cached ones, if `audio` is shorter than what they cover.
        """
        with self._lock:
            if len(audio) < self.log_mel.samples:
                self.log_mel = new_log_mel()
            log_mel = self.log_mel
            log_mel.extend(audio)
            spans = (log_mel.window_span(window) for window in range(log_mel.windows))
            return tuple(FeatureWindow(log_mel.features(*span)) for span in spans)
