"""What an MP4 or MOV file makes FFmpeg allocate before it has read any audio: checked first, from its boxes.

FFmpeg's `mov` demuxer (libavformat/mov.c) builds an index with an entry for each sample that the file claims to have,
and it does so in one call that nothing can interrupt: 20 KB claiming 80 million samples cost 2.9 GB and 9 s. None of
its options bounds this. So the claims are added up here, and what no recording has is refused.

The walk goes where the demuxer can go, and further: into every box (ISO 14496-12, 4.2) but `mdat`, at any depth that
the demuxer reaches. In a file of another kind it ends after a few steps, so nothing has to tell the formats apart.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from steno.audio.source import GuardedReader
from steno.errors import UndecodableAudioError

MAX_ENTRIES = 8_000_000
"""Index entries of all tracks, 36 bytes each (AVIndexEntry, MOVTimeToSample): 290 MB. 24 hours of AAC at 48 kHz (47
samples a second) with 30 pictures a second have 6.6 million."""

MAX_EDITED = 4_000_000
"""Index entries of a track times its edits: an edit may copy the whole index (`mov_fix_index`)."""

MAX_FRAGMENTS = 2_000_000
"""Fragments times tracks, about 60 bytes each. 24 hours in pieces of 2 s are 43,200 fragments."""

MAX_BOXES = 2_000_000
"""A fragment has about ten."""

MAX_SIDX = 50_000
"""Each may be sorted in before all others."""

MAX_RUNS = 1_000_000
"""Entries of `stsc`: at most one per chunk, and a chunk is about half a second."""

MAX_DEPTH = 12
"""The demuxer stops at 10."""

MAX_PROTECTED = 4_000_000
"""Encrypted samples, about 200 bytes each, and possibly none in the file. `senc` and `saiz` may both count them."""

MAX_STSD_BYTES = 1_000_000

SAMPLES_PER_BYTE = 64
"""Constant-size samples may be PCM frames before compression; QCELP packs 160 into 3 bytes, nothing packs more."""

ENTRY_BITS = {
    key: bits
    for bits, keys in ((32, b"stco stss stps"), (64, b"stts ctts co64 keys"), (96, b"stsc"))
    for key in keys.split()
}
"""Tables that begin with version, flags and a count."""

_CLAIMS = frozenset([*ENTRY_BITS, b"stsz", b"stz2", b"trun", b"senc", b"saiz", b"sbgp", b"sgpd", b"sidx"])
_LEAVES = _CLAIMS | {b"elst", b"hdlr", b"cmov"}
_LEAF = re.compile(b"|".join(sorted(_LEAVES)))
_STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_BLOCK = 1 << 14


def check_boxes(reader: GuardedReader) -> None:
    """Raise `UndecodableAudioError` if the file claims more than it can hold or than any recording has.

    Reads in blocks of 16 KiB. The reader must be seekable, and is left at its beginning; whether it was stopped on the
    way, its `check` tells.
    """
    walk = _Walk(reader)
    walk.descend(0, walk.file_bytes, (), walk.outside)
    walk.add_up()
    reader.seek(0)


@dataclass(slots=True)
class _Track:
    samples: int = 0
    """Of which the demuxer makes an index entry each, unless `is_pcm`."""
    unlisted: int = 0
    """Of these, what takes no bytes in any table."""
    edits: int = 0
    chunks: int = 0
    chunk_runs: list[_ChunkRuns] = field(default_factory=list)
    handlers: list[tuple[tuple[bytes, ...], bytes]] = field(default_factory=list)
    durations: list[tuple[tuple[bytes, ...], int | None]] = field(default_factory=list)

    @property
    def is_pcm(self) -> bool:
        """The demuxer indexes by chunk, 1024 samples an entry: a sound track whose samples all last one tick."""
        kinds = [kind for path, kind in self.handlers if path == _STBL[:3]]
        others = {kind for _, kind in self.handlers} & {b"vide", b"subp", b"clcp"}
        return kinds == [b"soun"] and not others and self.durations == [(_STBL, 1)]


@dataclass(slots=True)
class _ChunkRuns:
    """What `stsc` says: from chunk `first` on, `count` samples in each."""

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
        """(samples, index entries) of a track with so many chunks, at most."""
        if not self.ordered:  # the demuxer then mends it, in its own way
            return chunks * self.largest, chunks * _entries(self.largest)
        self._close(chunks + 1)
        return self.samples, self.entries

    def _close(self, until: int) -> None:
        chunks = max(0, until - self.first)
        self.samples += chunks * self.count
        self.entries += chunks * _entries(self.count)


def _entries(samples: int) -> int:
    """Of one chunk: the demuxer puts 1024 samples into one, or a codec's frame if that has 160 or more."""
    return 1 + samples // 160


class _Walk:
    def __init__(self, reader: GuardedReader) -> None:
        self._reader = reader
        self._block, self._block_at = b"", 0
        self.file_bytes = max(0, reader.seek(0, 2))
        self.outside = _Track()
        self._tracks = [self.outside]
        self._boxes = self._sidx = self._fragments = self._protected = 0

    def descend(self, at: int, end: int, path: tuple[bytes, ...], track: _Track) -> None:
        """Take in what the boxes between `at` and `end` claim."""
        if len(path) > MAX_DEPTH:
            return
        for kind, start, stop in self._children(at, end):
            if kind in _LEAVES:
                self._leaf(kind, start, stop, path, track)
            elif kind == b"stsd":
                self._search(start, stop, track)
            elif kind == b"meta":
                self.descend(self._meta_children(start, stop), stop, (*path, kind), track)
            elif kind == b"trak" and track is self.outside:
                self._tracks.append(_Track())
                self.descend(start, stop, (*path, kind), self._tracks[-1])
            elif kind != b"mdat":
                self._fragments += kind == b"moof"
                self.descend(start, stop, (*path, kind), track)

    def add_up(self) -> None:
        if self._fragments * len(self._tracks) > MAX_FRAGMENTS:
            _refuse("more fragments than any recording has")
        entries = unlisted = 0
        for track in self._tracks:
            in_chunks, chunk_entries = 0, 0
            for runs in track.chunk_runs:
                samples, of_runs = runs.total(track.chunks)
                in_chunks, chunk_entries = in_chunks + samples, chunk_entries + of_runs
            if in_chunks > SAMPLES_PER_BYTE * self.file_bytes:
                _refuse("more samples than it has room for")
            of_track = max(chunk_entries, 0 if track.is_pcm else track.samples)
            if track.edits > 2 and of_track * track.edits > MAX_EDITED:
                _refuse("more edits than any recording has")
            entries += of_track
            unlisted += 0 if track.is_pcm else track.unlisted
        if unlisted > self.file_bytes:
            _refuse("more samples than it has bytes")
        if entries > MAX_ENTRIES:
            _refuse("more samples than a day of audio and video has")

    def _children(self, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """(kind, start and end of the content) of each box, as `mov_read_default` cuts them."""
        while at + 8 <= end:
            self._boxes += 1
            if self._boxes > MAX_BOXES:
                _refuse("more boxes than any recording has")
            kind, start, stop = self._header(at, end)
            if stop < start:
                return
            yield kind, start, stop
            at = stop

    def _header(self, at: int, end: int) -> tuple[bytes, int, int]:
        """Kind, start and end of the content. A size of 0, or a 64-bit one of 8, means: all that is left."""
        header = self._bytes(at, 16)
        if len(header) < 8:
            return b"", end, 0
        size, kind = struct.unpack_from(">I4s", header)
        start = at + 8
        if size == 1:
            size, start = struct.unpack(">Q", header[8:].rjust(8, b"\0"))[0], at + 16
            size = 0 if size == 8 else size
        return kind, start, end if size == 0 else min(at + size, end)

    def _meta_children(self, start: int, stop: int) -> int:
        """Where the demuxer begins in `meta`, of which there are two kinds: at the `hdlr` (`mov_read_meta`)."""
        for at in range(start, stop, _BLOCK):
            block = self._bytes(at, min(_BLOCK, stop - at))
            found = block.find(b"hdlr")
            while found >= 0:
                if found % 4 == 0:
                    return at + found - 4
                found = block.find(b"hdlr", found + 1)
        return stop

    def _search(self, start: int, stop: int, track: _Track) -> None:
        """Where boxes begin in an `stsd` depends on the codec: take whatever looks like one of ours."""
        if stop - start > MAX_STSD_BYTES:
            _refuse("a description of its codec that is too long")
        for found in _LEAF.finditer(self._bytes(start, stop - start), 4):
            kind, inner, end = self._header(start + found.start() - 4, stop)
            self._leaf(kind, inner, max(inner, end), (b"stsd",), track)

    def _leaf(self, kind: bytes, start: int, stop: int, path: tuple[bytes, ...], track: _Track) -> None:
        content = self._bytes(start, 40).ljust(40, b"\0")
        flags, first, second, third = struct.unpack_from(">IIII", content)
        if kind in ENTRY_BITS:
            self._table(first, ENTRY_BITS[kind], start + 8)
        if kind == b"cmov":  # could unpack to anything; QuickTime 3's, of 1998
            raise UndecodableAudioError("The file's header is compressed, which we do not read.")
        if kind == b"hdlr":
            track.handlers.append((path, content[8:12]))
        elif kind == b"elst":
            track.edits += (stop - start) // (20 if content[0] == 1 else 12)
        elif kind == b"stts":
            track.durations.append((path, third if first == 1 else None))
        elif kind in (b"stco", b"co64"):
            track.chunks += first
        elif kind == b"stsc":
            track.chunk_runs.append(self._chunk_runs(start + 8, first))
        elif kind == b"stsz" and first:
            track.samples, track.unlisted = track.samples + second, track.unlisted + second
        elif kind in (b"stsz", b"stz2"):
            self._table(second, max(4, content[7]) if kind == b"stz2" else 32, start + 12)
            track.samples += second
        elif kind == b"trun":
            self._trun(flags, first, start, track)
        elif kind in (b"senc", b"saiz"):
            self._encryption(kind, content)
        elif kind in (b"sbgp", b"sgpd"):
            self._groups(kind, content, start)
        elif kind == b"sidx":
            self._sidx += 1
            self._fragments += struct.unpack_from(">H", content, 30 if content[0] else 22)[0]
            if self._sidx > MAX_SIDX:
                _refuse("more indexes than any recording has")

    def _table(self, count: int, bits: int, at: int) -> None:
        if count * bits > 8 * (self.file_bytes - at):
            _refuse("a table that is longer than the file")

    def _chunk_runs(self, at: int, count: int) -> _ChunkRuns:
        if count > MAX_RUNS:
            _refuse("more pieces than any recording has")
        runs = _ChunkRuns()
        step = _BLOCK // 12
        for done in range(0, count, step):
            block = self._bytes(at + 12 * done, 12 * min(step, count - done))
            for first, samples, _ in struct.iter_unpack(">III", block[: len(block) // 12 * 12]):
                runs.add(first, samples)
        return runs

    def _trun(self, flags: int, count: int, start: int, track: _Track) -> None:
        """Of a table that is cut off, the demuxer takes what there is: recordings do break off."""
        width = 4 * (flags & 0xF00).bit_count()
        if width:
            track.samples += min(count, (self.file_bytes - start) // width)
        else:
            track.samples, track.unlisted = track.samples + count, track.unlisted + count

    def _encryption(self, kind: bytes, content: bytes) -> None:
        at = 4 + (8 if content[3] & 1 and kind == b"saiz" else 0) + (kind == b"saiz")
        self._protected += struct.unpack_from(">I", content, at)[0]
        if self._protected > min(MAX_PROTECTED, self.file_bytes // 4):
            _refuse("more encrypted samples than it has room for")

    def _groups(self, kind: bytes, content: bytes, start: int) -> None:
        """`sync` groups are unpacked: four bytes for each sample of them (`build_open_gop_key_points`)."""
        version = content[0]
        if content[4:8] not in (b"sync", b"rap "):
            return
        skipped = min(version, 2) if kind == b"sgpd" else int(version == 1)
        at = 8 + 4 * skipped
        count = struct.unpack_from(">I", content, at)[0]
        self._table(count, 64 if kind == b"sbgp" else 8, start + at + 4)
        if kind == b"sgpd":
            return
        samples = 0
        for done in range(0, count, _BLOCK // 8):
            block = self._bytes(start + at + 4 + 8 * done, 8 * min(_BLOCK // 8, count - done))
            samples += sum(length for length, _ in struct.iter_unpack(">II", block[: len(block) // 8 * 8]))
        if samples > MAX_ENTRIES:
            _refuse("more samples than a day of audio and video has")

    def _bytes(self, at: int, size: int) -> bytes:
        """Fewer at the end of the file."""
        offset = at - self._block_at
        if not (offset >= 0 and offset + size <= len(self._block)):
            self._reader.check()
            self._reader.seek(at)
            self._block, self._block_at, offset = self._reader.read(max(size, _BLOCK)), at, 0
        return self._block[offset : offset + size]


def _refuse(claim: str) -> NoReturn:
    raise UndecodableAudioError(f"The file is damaged: its header claims {claim}.")
