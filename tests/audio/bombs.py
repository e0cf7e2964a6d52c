"""Small files that claim to be large, made by hand."""

from __future__ import annotations

import functools
import struct
import zlib


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


def deflated_zeros(count: int, before: bytes = b"") -> bytes:
    """A zlib stream of `before` and `count` MiB of zeros, which repeats one compressed MiB: fast to make."""
    block = bytes(1 << 20)
    packer = zlib.compressobj(9)
    head = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    body = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    high, low = divmod(zlib.adler32(before), 1 << 16)
    high = (high + low * count * len(block)) % 65_521  # RFC 1950: zeros leave the lower sum as it is
    return head + body * count + b"\3\0" + struct.pack(">HH", high, low)


@functools.cache
def flac_of_many_keys(flac: bytes, keys: int = 100_000) -> bytes:
    """`flac` with as many different metadata keys: FFmpeg compares each with all before it, 17 s for tens of thousands.

    They follow STREAMINFO, which is the first block and has 34 bytes (RFC 9639, 8.2).
    """
    comments = [f"K{n:07d}=x".encode() for n in range(keys)]
    listed = b"".join(struct.pack("<I", len(comment)) + comment for comment in comments)
    block = struct.pack("<II", 0, keys) + listed
    return flac[:4] + b"\0" + flac[5:42] + b"\x84" + len(block).to_bytes(3, "big") + block + _frames_of(flac)


def _frames_of(flac: bytes) -> bytes:
    """What follows the metadata blocks."""
    at, is_last = 4, False
    while not is_last:
        is_last = bool(flac[at] & 0x80)
        at += 4 + int.from_bytes(flac[at + 1 : at + 4], "big")
    return flac[at:]


def element(kind: bytes, *content: bytes | int) -> bytes:
    """Of EBML (RFC 8794): an id, a size in 8 bytes, and what is in it; numbers take 4 bytes."""
    inside = b"".join(part.to_bytes(4, "big") if isinstance(part, int) else part for part in content)
    return kind + (1 << 56 | len(inside)).to_bytes(8, "big") + inside


def matroska_of_compressed_headers(tracks: int = 40) -> bytes:
    """Each track's codec header is 9 MB of zeros in 9 KB: FFmpeg keeps several copies of each."""
    header = deflated_zeros(9)
    zlib_for_headers = element(b"\x62\x40", element(b"\x50\x32", 2), element(b"\x50\x34", element(b"\x42\x54", 0)))
    sound = element(b"\xe1", element(b"\xb5", struct.pack(">d", 48_000)), element(b"\x9f", 2))
    entries = [
        element(
            b"\xae",
            element(b"\xd7", n),
            element(b"\x73\xc5", n),
            element(b"\x83", 2),
            element(b"\x86", b"A_VORBIS"),
            element(b"\x63\xa2", header),
            sound,
            element(b"\x6d\x80", zlib_for_headers),
        )
        for n in range(1, tracks + 1)
    ]
    cluster = element(b"\x1f\x43\xb6\x75", element(b"\xe7", 0), element(b"\xa3", b"\x81\0\0\x80", bytes(100)))
    info = element(b"\x15\x49\xa9\x66", element(b"\x2a\xd7\xb1", 1_000_000))
    segment = element(b"\x18\x53\x80\x67", info, element(b"\x16\x54\xae\x6b", *entries), cluster)
    return element(b"\x1a\x45\xdf\xa3", element(b"\x42\x82", b"matroska")) + segment
