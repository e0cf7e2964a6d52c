"""The aligner protocol: an aligner finds the times of the words of a given text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from steno.types import Word

if TYPE_CHECKING:
    from steno.backends.base import Progress
    from steno.types import Audio


@dataclass(frozen=True, slots=True, eq=False)
class Align:
    """Find when each word of `text` is spoken in `audio` (float32, mono, 16 kHz)."""

    audio: Audio
    text: str
    language: str | None = None
    """ISO 639-1; None = unknown."""
    is_live: bool = False
    """Whether a live client waits for it; alignments of uploads yield the CPU to it."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """The words of the given text: all of them, in order, in its own spelling. Times count from the audio's start."""

    words: tuple[Word, ...]


class Aligner(Protocol):
    """Batches by itself, in threads or processes of its own. Constructing one is free; `load` takes the memory."""

    @property
    def name(self) -> str:
        """Its name in `ALIGNER`."""

    @property
    def model_id(self) -> str: ...

    @property
    def languages(self) -> frozenset[str]:
        """ISO 639-1 codes of the languages that it aligns."""

    @property
    def workers(self) -> int:
        """Max concurrent calls of uploads."""

    @property
    def live_workers(self) -> int:
        """Further concurrent calls for live work."""

    @property
    def max_audio_s(self) -> float:
        """Longest audio of a call, in seconds."""

    async def load(self, progress: Progress) -> None:
        """Raises StenoError: it cannot be loaded."""

    async def unload(self) -> None:
        """Free all memory. Called only while no call is running; `load` may follow."""

    async def align(self, work: Align) -> Alignment:
        """Cancelling the call aborts it.

        Raises:
            StenoError: the language, the text's length or the audio's length is not supported, or the text could not
                be found in the audio.
        """
