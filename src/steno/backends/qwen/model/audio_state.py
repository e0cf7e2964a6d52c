"""Incremental encoder state of one clip or utterance: its log-mel so far, and the encoder's outputs for it.

`extend` takes the same audio again with more behind it. A frame is computed once, a chunk (1 s) convolved once and a
window (8 s) attended to once, as soon as they are complete. One thing invalidates them: the features' range is relative
to the loudest bin of the clip, so that a louder sound raises the floor for all audio before it. Chunks and windows with
values below the new floor are encoded again; others stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steno.backends.qwen3_asr.log_mel import CHUNK, LogMel

if TYPE_CHECKING:
    import torch

    from steno.backends.qwen3_asr.frontend import Features, Frontend


@dataclass(frozen=True, slots=True, eq=False)
class EncodedSpan:
    """The encoder's output for a complete chunk or window, and the feature range that it is valid for."""

    out: torch.Tensor
    floor: float
    """Lower clamp of the log-mel features when this was encoded."""
    lowest: float
    """Smallest log-mel value, before clamping."""

    def is_valid_for(self, floor: float) -> bool:
        """Whether the output would be the same with this floor."""
        return floor == self.floor or self.lowest >= max(floor, self.floor)


class AudioState(LogMel):
    """One clip: its features, and what the encoder has computed from them."""

    def __init__(self, frontend: Frontend, window: int) -> None:
        super().__init__(frontend, window)
        self._chunks: dict[int, EncodedSpan] = {}
        self._windows: dict[int, EncodedSpan] = {}
        self._open: torch.Tensor | None = None

    @property
    def closed_s(self) -> float:
        """Seconds in windows that are complete."""
        return self._final_frames // self.window * self.window / CHUNK

    def _append(self, samples: int, new: Features) -> None:
        self._open = None
        super()._append(samples, new)

    def missing_windows(self) -> list[int]:
        """Windows that are not encoded yet, or are no longer valid."""
        closed = self._final_frames // self.window
        missing = [n for n in range(closed) if n not in self._windows or not self._windows[n].is_valid_for(self._floor)]
        if self.windows > closed and self._open is None:
            missing += range(closed, self.windows)
        return missing

    def convolved(self, chunk: int) -> torch.Tensor | None:
        """The convolutions' output for a complete chunk; None if there is none or it is no longer valid."""
        cached = self._chunks.get(chunk)
        return cached.out if cached is not None and cached.is_valid_for(self._floor) else None

    def store_chunk(self, chunk: int, out: torch.Tensor) -> None:
        if (chunk + 1) * CHUNK <= self._final_frames:
            self._chunks[chunk] = self._encoded(out, chunk * CHUNK, (chunk + 1) * CHUNK)

    def store_window(self, window: int, out: torch.Tensor) -> None:
        """`out`: the window's embeddings, shape [tokens, hidden]."""
        start, end = self.window_span(window)
        if end - start == self.window and end <= self._final_frames:
            self._windows[window] = self._encoded(out, start, end)
            for chunk in range(start // CHUNK, end // CHUNK):
                self._chunks.pop(chunk, None)
        else:
            self._open = out

    @property
    def embeddings(self) -> list[torch.Tensor]:
        """Embeddings of each window, in order, once none is missing. An unchanged window is the same tensor."""
        closed = [self._windows[n].out for n in range(self._final_frames // self.window)]
        return closed if self._open is None else [*closed, self._open]

    def _encoded(self, out: torch.Tensor, start: int, end: int) -> EncodedSpan:
        return EncodedSpan(out, self._floor, float(self._lowest[start:end].min()))
