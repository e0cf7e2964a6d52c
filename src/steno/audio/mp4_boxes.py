"""Checks how much an MP4 or MOV file makes FFmpeg allocate before any audio is read, by its boxes.

FFmpeg's `mov` demuxer (libavformat/mov.c) builds an index with an entry for each sample that the file claims, in one
call that cannot be interrupted: 20 KB claiming 80 million samples cost 2.9 GB and 9 s. None of its options bounds this.
So the claims are added up here, and implausible files are refused.

The walk covers at least what the demuxer reads: every box (ISO 14496-12, 4.2) except `mdat`, at any depth that the
demuxer reaches. In a file of another format it ends after a few steps, so the format need not be detected first.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NoReturn

from steno.audio.mp4_index import ChunkRuns, TrackClaims
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
"""A fragment has about ten boxes."""

MAX_SIDX = 50_000
"""Each insertion may move all others."""

MAX_RUNS = 1_000_000
"""Entries of `stsc`: at most one per chunk, and a chunk is about half a second."""

MAX_DEPTH = 12
"""The demuxer stops at 10."""

MAX_ENCRYPTED = 4_000_000
"""Encrypted samples, about 200 bytes each in memory. `senc` and `saiz` may both count them."""

MAX_STSD_BYTES = 1_000_000

SAMPLES_PER_BYTE = 64
"""Max samples per byte of the file: QCELP packs 160 into 3 bytes; no codec packs more."""

ENTRY_BITS = {
    key: bits
    for bits, keys in ((32, b"stco stss stps"), (64, b"stts ctts co64 keys"), (96, b"stsc"))
    for key in keys.split()
}
"""Bits per entry of tables that start with version, flags and a count."""

_CLAIMS = frozenset([*ENTRY_BITS, b"stsz", b"stz2", b"trun", b"senc", b"saiz", b"sbgp", b"sgpd", b"sidx"])
_LEAVES = _CLAIMS | {b"elst", b"hdlr", b"cmov"}
_LEAF = re.compile(b"|".join(sorted(_LEAVES)))
_BLOCK = 1 << 14


def check_boxes(reader: GuardedReader) -> None:
    """Raise `UndecodableAudioError` if the file claims more than it can hold or than any recording has.

    Reads in blocks of 16 KiB. The reader must be seekable, and is left at its start. Call its `check` afterwards: it
    may have been cancelled.
    """
    walk = _Walk(reader)
    walk.descend(0, walk.file_bytes, (), walk.file_claims)
    walk.check_totals()
    reader.seek(0)


class _Walk:
    def __init__(self, reader: GuardedReader) -> None:
        self._reader = reader
        self._block, self._block_at = b"", 0
        self.file_bytes = max(0, reader.seek(0, 2))
        self.file_claims = TrackClaims()
        self._tracks = [self.file_claims]
        self._boxes = self._sidx = self._fragments = self._encrypted = 0

    def descend(self, at: int, end: int, path: tuple[bytes, ...], track: TrackClaims) -> None:
        """Collect the claims of the boxes between `at` and `end`."""
        if len(path) > MAX_DEPTH:
            return
        for kind, start, stop in self._children(at, end):
            if kind in _LEAVES:
                self._leaf(kind, start, stop, path, track)
            elif kind == b"stsd":
                self._search(start, stop, track)
            elif kind == b"meta":
                self.descend(self._meta_children(start, stop), stop, (*path, kind), track)
            elif kind == b"trak" and track is self.file_claims:
                self._tracks.append(TrackClaims())
                self.descend(start, stop, (*path, kind), self._tracks[-1])
            elif kind != b"mdat":
                self._fragments += kind == b"moof"
                self.descend(start, stop, (*path, kind), track)

    def check_totals(self) -> None:
        if self._fragments * len(self._tracks) > MAX_FRAGMENTS:
            _refuse("more fragments than any recording has")
        entries = unlisted = 0
        for track in self._tracks:
            in_chunks, chunk_entries = 0, 0
            for runs in track.chunk_runs:
                samples, run_entries = runs.total(track.chunks)
                in_chunks, chunk_entries = in_chunks + samples, chunk_entries + run_entries
            if in_chunks > SAMPLES_PER_BYTE * self.file_bytes:
                _refuse("more samples than it has room for")
            track_entries = max(chunk_entries, 0 if track.is_pcm else track.samples)
            if track.edits > 2 and track_entries * track.edits > MAX_EDITED:
                _refuse("more edits than any recording has")
            entries += track_entries
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
        """Kind, start and end of the content. A size of 0, or a 64-bit one of 8, extends to the end."""
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
        """Where the demuxer starts in `meta`, which has two forms: at the `hdlr` (`mov_read_meta`)."""
        for at in range(start, stop, _BLOCK):
            block = self._bytes(at, min(_BLOCK, stop - at))
            found = block.find(b"hdlr")
            while found >= 0:
                if found % 4 == 0:
                    return at + found - 4
                found = block.find(b"hdlr", found + 1)
        return stop

    def _search(self, start: int, stop: int, track: TrackClaims) -> None:
        """Where boxes start in an `stsd` depends on the codec: search for those that matter."""
        if stop - start > MAX_STSD_BYTES:
            _refuse("a description of its codec that is too long")
        for found in _LEAF.finditer(self._bytes(start, stop - start), 4):
            kind, inner, end = self._header(start + found.start() - 4, stop)
            self._leaf(kind, inner, max(inner, end), (b"stsd",), track)

    def _leaf(self, kind: bytes, start: int, stop: int, path: tuple[bytes, ...], track: TrackClaims) -> None:
        content = self._bytes(start, 40).ljust(40, b"\0")
        flags, first, second, third = struct.unpack_from(">IIII", content)
        if kind in ENTRY_BITS:
            self._table(first, ENTRY_BITS[kind], start + 8)
        if kind == b"cmov":  # could unpack to anything; QuickTime 3's, of 1998
            raise UndecodableAudioError("The file's header is compressed, which is not supported.")
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

    def _chunk_runs(self, at: int, count: int) -> ChunkRuns:
        if count > MAX_RUNS:
            _refuse("more pieces than any recording has")
        runs = ChunkRuns()
        step = _BLOCK // 12
        for done in range(0, count, step):
            block = self._bytes(at + 12 * done, 12 * min(step, count - done))
            for first, samples, _ in struct.iter_unpack(">III", block[: len(block) // 12 * 12]):
                runs.add(first, samples)
        return runs

    def _trun(self, flags: int, count: int, start: int, track: TrackClaims) -> None:
        """The demuxer reads a truncated table as far as it goes, because recordings may end abruptly."""
        width = 4 * (flags & 0xF00).bit_count()
        if width:
            track.samples += min(count, (self.file_bytes - start) // width)
        else:
            track.samples, track.unlisted = track.samples + count, track.unlisted + count

    def _encryption(self, kind: bytes, content: bytes) -> None:
        at = 4 + (8 if content[3] & 1 and kind == b"saiz" else 0) + (kind == b"saiz")
        self._encrypted += struct.unpack_from(">I", content, at)[0]
        if self._encrypted > min(MAX_ENCRYPTED, self.file_bytes // 4):
            _refuse("more encrypted samples than it has room for")

    def _groups(self, kind: bytes, content: bytes, start: int) -> None:
        """`sync` groups are expanded to 4 bytes per sample (`build_open_gop_key_points`)."""
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
        """`size` bytes from `at`; fewer at the end of the file."""
        offset = at - self._block_at
        if not (offset >= 0 and offset + size <= len(self._block)):
            self._reader.check()
            self._reader.seek(at)
            self._block, self._block_at, offset = self._reader.read(max(size, _BLOCK)), at, 0
        return self._block[offset : offset + size]


def _refuse(claim: str) -> NoReturn:
    raise UndecodableAudioError(f"The file is damaged: its header claims {claim}.")
