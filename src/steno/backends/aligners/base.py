"""What an aligner is: it finds when each word of a given text is spoken."""

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
    """A live client waits for it: uploads' alignments yield the CPU to it."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """The words of the given text: all of them, in order, in its own spelling. Times count from the audio's start."""

    words: tuple[Word, ...]


class Aligner(Protocol):
    """Batches by itself, in threads or processes of its own. Constructing one is free; `load` takes the memory."""

    @property
    def name(self) -> str:
        """As `ALIGNER` calls it."""

    @property
    def model_id(self) -> str: ...

    @property
    def languages(self) -> frozenset[str]:
        """ISO 639-1 codes of the languages that it aligns."""

    @property
    def workers(self) -> int:
        """How many calls of uploads it runs at once."""

    @property
    def live_workers(self) -> int:
        """How many further calls it runs for live work."""

    async def load(self, progress: Progress) -> None:
        """Raises StenoError: it cannot be loaded."""

    async def unload(self) -> None:
        """Give all memory back. Nothing is running when it is called; `load` may follow."""

    async def align(self, work: Align) -> Alignment:
        """Cancelling the call aborts it.

        Raises:
            StenoError: the language, the text's length or the audio's length is not supported, or the text could not
                be found in the audio.
        """
