"""Small files that claim to be large, made by hand."""

from __future__ import annotations

import struct


def box(kind: bytes, *content: bytes) -> bytes:
    inside = b"".join(content)
    return struct.pack(">I4s", 8 + len(inside), kind) + inside


def table(kind: bytes, *rows: tuple[int, ...], count: int | None = None) -> bytes:
    """Version, flags, a count and rows of 32-bit numbers."""
    numbers = [0, len(rows) if count is None else count, *(number for row in rows for number in row)]
    return box(kind, struct.pack(f">{len(numbers)}I", *numbers))


def stsz(size: int, count: int, *sizes: int) -> bytes:
    return box(b"stsz", struct.pack(f">{3 + len(sizes)}I", 0, size, count, *sizes))


def sound_entry(fourcc: bytes = b"sowt", bits: int = 16, version1: tuple[int, int, int, int] | None = None) -> bytes:
    """`version1`: samples per packet, bytes per packet, bytes per frame, bytes per sample."""
    version = 0 if version1 is None else 1
    more = b"" if version1 is None else struct.pack(">4I", *version1)
    head = struct.pack(">6xHHHIHHHHI", 1, version, 0, 0, 1, bits, 0, 0, 16_000 << 16)
    return box(b"stsd", struct.pack(">II", 0, 1), box(fourcc, head, more))


HANDLER = box(b"hdlr", struct.pack(">II4s12xB", 0, 0, b"soun", 0))
MVHD = box(
    b"mvhd", struct.pack(">5I", 0, 0, 0, 1000, 1000), struct.pack(">IH10x", 1 << 16, 256), bytes(60), b"\0\0\0\2"
)
FTYP = box(b"ftyp", b"qt  \0\0\0\0qt  ")


def track(*tables: bytes, entry: bytes | None = None, edits: bytes = b"", handler: bytes = HANDLER) -> bytes:
    tkhd = box(b"tkhd", struct.pack(">6I", 7, 0, 0, 1, 0, 1000), bytes(60))
    mdhd = box(b"mdhd", struct.pack(">5IHH", 0, 0, 0, 16_000, 16_000, 0, 0))
    stbl = box(b"stbl", sound_entry() if entry is None else entry, *tables)
    return box(b"trak", tkhd, edits, box(b"mdia", mdhd, handler, box(b"minf", box(b"smhd", bytes(8)), stbl)))


def movie(*tracks: bytes, payload: bytes = bytes(20_000), more: bytes = b"") -> bytes:
    """`mdat` comes first: its payload is at byte 28."""
    return FTYP + box(b"mdat", payload) + box(b"moov", MVHD, *tracks) + more
