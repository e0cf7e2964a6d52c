"""What has been heard of one clip or utterance: its log-mel so far, and what the encoder made of it.

It grows: `extend` takes the same audio again with more behind it. A frame is computed once, a chunk (a second)
convolved once and a window (eight seconds) attended to once, as soon as they are complete. One thing makes them wrong
again: the features' range is relative to the loudest bin of the clip, so that a louder sound lifts the floor under what
came before it. What lay below the new floor is encoded again; what did not, is not.
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
"""Mel frames that the convolutions see at once: a second."""

TOKENS_PER_CHUNK = 13
TOKENS_PER_S = 13


@dataclass(frozen=True, slots=True, eq=False)
class EncodedSpan:
    """Something complete, and the range of features for which it was encoded."""

    out: torch.Tensor
    floor: float
    lowest: float
    """Of its features, before any floor."""

    def holds(self, floor: float) -> bool:
        """Whether it would be the same with another floor."""
        return floor == self.floor or self.lowest >= max(floor, self.floor)


class AudioState:
    """One clip. The encoder reads features from it and leaves what it made of them in it."""

    def __init__(self, frontend: Frontend, window: int) -> None:
        self._frontend = frontend
        self._samples = -1
        self._raw = torch.zeros(frontend.bands, 0)
        self._peak = float("-inf")
        self._final = 0
        self._floor = float("-inf")
        self._chunks: dict[int, EncodedSpan] = {}
        self._windows: dict[int, EncodedSpan] = {}
        self._open: torch.Tensor | None = None
        self.window = window
        """Mel frames of a window."""

    @property
    def frames(self) -> int:
        return self._raw.shape[1]

    @property
    def windows(self) -> int:
        return -(-self.frames // self.window)

    @property
    def closed_s(self) -> float:
        """Seconds in windows that are complete."""
        return self._final // self.window * self.window / CHUNK

    def extend(self, audio: Audio) -> None:
        """Take `audio`, 16 kHz, all of the clip so far: it begins with what was taken before."""
        if len(audio) == self._samples:
            return
        self._samples = len(audio)
        new = self._frontend.raw(audio, self._final)
        known = self._raw[:, : self._final].to(new.device)
        self._raw = torch.cat([known, new], dim=1)
        final = self._frontend.final_frames(len(audio))
        if final > self._final:
            self._peak = max(self._peak, float(self._raw[:, self._final : final].max()))
        loudest = max(self._peak, float(self._raw[:, final:].max()) if final < self.frames else self._peak)
        self._open = None
        self._floor = loudest - RANGE
        self._final = final

    def lacks(self) -> list[int]:
        """The windows that have to be encoded, or encoded again."""
        closed = self._final // self.window
        lacking = [n for n in range(closed) if n not in self._windows or not self._windows[n].holds(self._floor)]
        if self.windows > closed and self._open is None:
            lacking += range(closed, self.windows)
        return lacking

    def span(self, window: int) -> tuple[int, int]:
        """The frames of a window, [start, end)."""
        return window * self.window, min((window + 1) * self.window, self.frames)

    def features(self, start: int, end: int) -> torch.Tensor:
        """[bands, end - start], as the model was trained on; zeros behind the clip's end."""
        features = (self._raw[:, start:end].clamp(min=self._floor) + 4.0) / 4.0
        return F.pad(features, (0, end - start - features.shape[1]))

    def convolved(self, chunk: int) -> torch.Tensor | None:
        """What the convolutions made of a complete chunk, where that still holds."""
        kept = self._chunks.get(chunk)
        return kept.out if kept is not None and kept.holds(self._floor) else None

    def keep_chunk(self, chunk: int, out: torch.Tensor) -> None:
        if (chunk + 1) * CHUNK <= self._final:
            self._chunks[chunk] = self._encoded(out, chunk * CHUNK, (chunk + 1) * CHUNK)

    def keep_window(self, window: int, out: torch.Tensor) -> None:
        """`out`: its embeddings, shape [tokens, hidden]."""
        start, end = self.span(window)
        if end - start == self.window and end <= self._final:
            self._windows[window] = self._encoded(out, start, end)
            for chunk in range(start // CHUNK, end // CHUNK):
                self._chunks.pop(chunk, None)
        else:
            self._open = out

    @property
    def embeddings(self) -> list[torch.Tensor]:
        """Of each window, in order, once none is lacking. What has not changed is the same object as before."""
        closed = [self._windows[n].out for n in range(self._final // self.window)]
        return closed if self._open is None else [*closed, self._open]

    def _encoded(self, out: torch.Tensor, start: int, end: int) -> EncodedSpan:
        return EncodedSpan(out, self._floor, float(self._raw[:, start:end].min()))


def tokens_of(frames: int) -> int:
    """Audio tokens of so many mel frames: thirteen a full chunk, and what three halvings leave of the last."""
    chunks, rest = divmod(frames, CHUNK)
    for _ in range(3):
        rest = (rest + 1) // 2
    return chunks * TOKENS_PER_CHUNK + rest
