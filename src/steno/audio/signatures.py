"""First bytes of media files."""

from __future__ import annotations

EBML = b"\x1aE\xdf\xa3"
"""Start of a Matroska or WebM file; does not occur inside one (RFC 8794, 8.1)."""

OGG_PAGE = b"OggS"
"""Start of every page of an Ogg stream (RFC 3533, 6)."""

FTYP = b"ftyp"
"""The type of the box that begins an MP4 file, behind four bytes with its size (ISO/IEC 14496-12, 4.3)."""

FLV = b"FLV"

ID3 = b"ID3"

_NAMES = {b"RIFF": "WAV", b"RF64": "WAV", b"fLaC": "FLAC", ID3: "MP3", OGG_PAGE: "Ogg", EBML: "WebM"}
"""Formats whose first bytes are unlikely in raw samples. (A bare MP3 frame begins with too few bytes to be sure.)"""

_OTHERS = (
    *(b"RIFX", b"riff", b"FORM", b"caff", b".snd", b"wvpk", b"NIST_1A", b"0&\xb2u", FLV, b"#!AMR"),
    *(b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9", b"\x0bw"),
)


def file_format(head: bytes) -> str | None:
    """The format of a file with the first bytes `head`, at least 8, that cannot be mistaken for raw samples.

    "WAV", "FLAC", "MP3", "Ogg", "WebM" (any Matroska) or "MP4"; None if it is none of these.
    """
    if head[4:8] == FTYP:
        return "MP4"
    return next((name for magic, name in _NAMES.items() if head.startswith(magic)), None)


def starts_like_media(head: bytes) -> bool:
    """Whether a file that cannot be opened is damaged media: `head` begins like any supported format."""
    return file_format(head) is not None or head.startswith(_OTHERS)
