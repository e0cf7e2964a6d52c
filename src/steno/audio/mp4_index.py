"""How many index entries FFmpeg's `mov` demuxer allocates for a track, by the claims of its boxes (`mp4_boxes`)."""

from __future__ import annotations

from dataclasses import dataclass, field

STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
"""The path of a track's sample table."""


@dataclass(slots=True)
class TrackClaims:
    """What the boxes of one track claim."""

    samples: int = 0
    """Samples; the demuxer creates an index entry for each, unless `is_pcm`."""
    unlisted: int = 0
    """Samples that take no bytes in any table."""
    edits: int = 0
    chunks: int = 0
    chunk_runs: list[ChunkRuns] = field(default_factory=list)
    handlers: list[tuple[tuple[bytes, ...], bytes]] = field(default_factory=list)
    durations: list[tuple[tuple[bytes, ...], int | None]] = field(default_factory=list)

    @property
    def is_pcm(self) -> bool:
        """Whether the demuxer indexes by chunk, 1024 samples per entry: sound whose samples all last one tick."""
        kinds = [kind for path, kind in self.handlers if path == STBL[:3]]
        others = {kind for _, kind in self.handlers} & {b"vide", b"subp", b"clcp"}
        return kinds == [b"soun"] and not others and self.durations == [(STBL, 1)]


@dataclass(slots=True)
class ChunkRuns:
    """The contents of `stsc`: from chunk `first` on, `count` samples in each."""

    first: int = 1
    count: int = 0
    largest: int = 0
    ordered: bool = True
    samples: int = 0
    entries: int = 0

    def add(self, first: int, count: int) -> None:
        self.ordered = self.ordered and first >= self.first
        self._close(first)
        self.first, self.count, self.largest = first, count, max(self.largest, count)

    def total(self, chunks: int) -> tuple[int, int]:
        """(samples, index entries) of a track with `chunks` chunks, at most."""
        if not self.ordered:  # the demuxer then repairs it in its own way
            return chunks * self.largest, chunks * entries_of(self.largest)
        self._close(chunks + 1)
        return self.samples, self.entries

    def _close(self, until: int) -> None:
        chunks = max(0, until - self.first)
        self.samples += chunks * self.count
        self.entries += chunks * entries_of(self.count)


def entries_of(samples: int) -> int:
    """Index entries of one chunk: 1024 samples each, or a codec's frame if that has 160 or more."""
    return 1 + samples // 160
