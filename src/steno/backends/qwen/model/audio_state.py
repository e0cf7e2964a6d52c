"""Incremental encoder state of one clip or utterance: its log-mel so far, and the encoder's outputs for it.

`extend` takes the same audio again with more behind it. A frame is computed once, a chunk (1 s) convolved once and a
window (8 s) attended to once, as soon as they are complete. One thing invalidates them: the features' range is relative
to the loudest bin of the clip, so that a louder sound raises the floor for all audio before it. Chunks and windows with
values below the new floor are encoded again; others stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from steno.backends.qwen.model.frontend import RANGE, Frontend

if TYPE_CHECKING:
    from steno.types import Audio

CHUNK = 100
"""Mel frames that the convolutions process at once: 1 s."""

TOKENS_PER_CHUNK = 13
TOKENS_PER_S = 13


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


class AudioState:
    """One clip. The encoder reads features from it and stores its outputs in it."""

    def __init__(self, frontend: Frontend, window: int) -> None:
        self._frontend = frontend
        self._samples = -1
        self._log_mel = torch.zeros(frontend.bands, 0)
        self._peak = float("-inf")
        self._final_frames = 0
        self._floor = float("-inf")
        self._chunks: dict[int, EncodedSpan] = {}
        self._windows: dict[int, EncodedSpan] = {}
        self._open: torch.Tensor | None = None
        self.window = window
        """Mel frames per window."""

    @property
    def frames(self) -> int:
        return self._log_mel.shape[1]

    @property
    def windows(self) -> int:
        return -(-self.frames // self.window)

    @property
    def closed_s(self) -> float:
        """Seconds in windows that are complete."""
        return self._final_frames // self.window * self.window / CHUNK

    def extend(self, audio: Audio) -> None:
        """Take `audio`, 16 kHz, all of the clip so far: it starts with the audio of the previous call."""
        if len(audio) == self._samples:
            return
        self._samples = len(audio)
        new = self._frontend.log_mel(audio, self._final_frames)
        unchanged = self._log_mel[:, : self._final_frames].to(new.device)
        self._log_mel = torch.cat([unchanged, new], dim=1)
        final = self._frontend.final_frames(len(audio))
        if final > self._final_frames:
            self._peak = max(self._peak, float(self._log_mel[:, self._final_frames : final].max()))
        loudest = max(self._peak, float(self._log_mel[:, final:].max()) if final < self.frames else self._peak)
        self._open = None
        self._floor = loudest - RANGE
        self._final_frames = final

    def missing_windows(self) -> list[int]:
        """Windows that are not encoded yet, or are no longer valid."""
        closed = self._final_frames // self.window
        missing = [n for n in range(closed) if n not in self._windows or not self._windows[n].is_valid_for(self._floor)]
        if self.windows > closed and self._open is None:
            missing += range(closed, self.windows)
        return missing

    def window_span(self, window: int) -> tuple[int, int]:
        """The frames of a window, [start, end)."""
        return window * self.window, min((window + 1) * self.window, self.frames)

    def features(self, start: int, end: int) -> torch.Tensor:
        """Normalised log-mel, shape [bands, end - start]; zeros behind the clip's end."""
        features = (self._log_mel[:, start:end].clamp(min=self._floor) + 4.0) / 4.0
        return F.pad(features, (0, end - start - features.shape[1]))

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
        return EncodedSpan(out, self._floor, float(self._log_mel[:, start:end].min()))


def tokens_of(frames: int) -> int:
    """Audio tokens of `frames` mel frames: 13 per full chunk; the last chunk's frames are halved three times."""
    chunks, rest = divmod(frames, CHUNK)
    for _ in range(3):
        rest = (rest + 1) // 2
    return chunks * TOKENS_PER_CHUNK + rest
