"""An encoder that falls back to torch at its first failure."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from loguru import logger

from steno.backends.qwen.model.audio_encoder import AudioEncoder


class FallbackEncoder:
    """An `AudioEncoder` that runs `first` until a call fails, and `fallback` from then on.

    Args:
        first: on a runtime other than torch.
        fallback: of the same checkpoint.
        variable: the setting that asked for `first`.
    """

    def __init__(self, first: AudioEncoder, fallback: AudioEncoder, variable: str) -> None:
        self._first = first
        self._fallback = fallback
        self._variable = variable
        self.has_failed = False
        """Whether a call failed, and the encoder runs on torch."""

    @property
    def runtime(self) -> str:
        """What computes now."""
        return (self._fallback if self.has_failed else self._first).runtime

    def convolve(self, mel: torch.Tensor) -> torch.Tensor:
        """See `AudioEncoder`."""
        if not self.has_failed:
            try:
                return self._first.convolve(mel)
            except Exception as error:  # noqa: BLE001 - an acceleration that fails is logged once
                self._fail(error)
        return self._fallback.convolve(mel)

    def attend(self, windows: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """See `AudioEncoder`."""
        if not self.has_failed:
            try:
                return self._first.attend(windows)
            except Exception as error:  # noqa: BLE001 - an acceleration that fails is logged once
                self._fail(error)
        return self._fallback.attend(windows)

    def _fail(self, error: Exception) -> None:
        self.has_failed = True
        logger.warning(
            "{}: {} failed, and torch encodes from now on: {}: {}",
            self._variable, self._first.runtime, type(error).__name__, error,
        )  # fmt: skip
