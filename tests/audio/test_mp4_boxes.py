"""Small files that make FFmpeg take gigabytes: refused before it sees them, and what only looks like them is not."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from audio.bombs import FTYP, HANDLER, MVHD, box, deflated_zeros, movie, sound_entry, stsz, table, track
from audio.encode import ADTS, FLAC, M4A, MKV, MP3, MP4, MPEG_TS, OPUS, Kind, encode, tone, wav
from steno.audio.decode import decode
from steno.audio.mp4_boxes import check_boxes
from steno.audio.source import DecodeCancelled, GuardedReader
from steno.errors import UndecodableAudioError
from steno.types import SAMPLE_RATE

MANY = 80_000_000
ONE_CHUNK = table(b"stsc", (1, MANY, 1)), table(b"stco", (28,))
PCM = table(b"stts", (10_000, 1)), table(b"stsc", (1, 10_000, 1)), table(b"stco", (28,)), stsz(2, 10_000)
AAC = table(b"stts", (10_000, 1024)), *PCM[1:3]
NOTHING = table(b"stts"), table(b"stsc"), table(b"stco"), stsz(0, 0)
EDITS = box(b"edts", table(b"elst", *[(10_000_000, 0, 1 << 16)] * 8000))
MVEX = box(b"mvex", box(b"trex", struct.pack(">6I", 0, 1, 1, 1024, 1, 0)))
SIDX = box(b"sidx", struct.pack(">5IHH", 0, 1, 1000, 0, 0, 0, 65_535), struct.pack(">III", 1, 1, 0) * 65_535)
TENC = box(b"tenc", bytes(4), b"\0\0\1\0", bytes(16), b"\x10", bytes(16))
PROTECTED = box(b"sinf", box(b"frma", b"sowt"), box(b"schm", bytes(4), b"cenc", bytes(4)), box(b"schi", TENC))
ENCA = box(b"stsd", struct.pack(">II", 0, 1), box(b"enca", sound_entry()[24:], PROTECTED))
CMVD = box(b"cmvd", struct.pack(">I", 1 << 30), deflated_zeros(300))


def fragments(*moofs: bytes, tracks: int = 1, entry: bytes | None = None, before: bytes = b"") -> bytes:
    moov = box(b"moov", MVHD, *[track(*NOTHING, entry=entry)] * tracks, MVEX)
    return FTYP + moov + before + b"".join(moofs) + box(b"mdat", bytes(20_000))


def moof(inside: bytes) -> bytes:
    return box(b"moof", box(b"mfhd", bytes(8)), box(b"traf", box(b"tfhd", struct.pack(">II", 0, 1)), inside))


def trun(count: int) -> bytes:
    return box(b"trun", struct.pack(">II", 0, count))


BOMBS = {
    "samples of one size": movie(track(table(b"stts", (MANY, 1024)), *ONE_CHUNK, stsz(1, MANY))),
    "samples of one size, not of sound": movie(
        track(table(b"stts", (MANY, 1)), *ONE_CHUNK, stsz(1, MANY), handler=HANDLER.replace(b"soun", b"vide"))
    ),
    "chunks of two billion samples": movie(
        track(PCM[0], table(b"stsc", (1, 0x7FFF_FFFF, 1)), table(b"stco", *[(28,)] * 40), stsz(2, MANY))
    ),
    "edits that each take all": movie(
        track(table(b"stts", (10_000, 1024)), *PCM[1:], edits=EDITS),
    ),
    "a fragment of many samples": fragments(moof(trun(MANY))),
    "fragments of some samples": fragments(*[moof(trun(1_000_000))] * 80),
    "an index for each of 99 tracks": fragments(before=SIDX, tracks=99),
    "encrypted samples": fragments(moof(box(b"senc", struct.pack(">II", 0, MANY))), entry=ENCA),
    "a compressed header": FTYP + box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), CMVD)),
}
"""Each takes FFmpeg more than 250 MB."""

CLAIMS = {
    **{kind.decode(): movie(track(*PCM, table(kind, count=1 << 27))) for kind in (b"stss", b"ctts", b"stps", b"co64")},
    "stsz": movie(track(*PCM[:3], stsz(0, MANY))),
    "stz2": movie(track(*PCM[:3], box(b"stz2", struct.pack(">III", 0, 4, MANY)))),
    "stsc": movie(track(PCM[0], table(b"stsc", count=1 << 27), *PCM[2:])),
    "keys": movie(track(*PCM), more=box(b"moov", box(b"meta", bytes(4), HANDLER, table(b"keys", count=1 << 27)))),
    "sbgp": movie(track(*PCM, box(b"sbgp", struct.pack(">I4sIII", 0, b"sync", 1, 400_000_000, 1)))),
    "stsz in the codec's description": movie(
        track(*AAC, entry=box(b"stsd", struct.pack(">II", 0, 1), box(b"sowt", bytes(28), stsz(1, MANY))))
    ),
    "stsz in a box of 64 bits": movie(track(*AAC, struct.pack(">I4sQ", 1, b"stsz", 28) + stsz(1, MANY)[8:])),
    "stsz in a box without an end": movie(track(*AAC, bytes(4) + stsz(1, MANY)[4:])),
    "stsz in free space that may become the header": FTYP
    + box(b"mdat", bytes(20_000))
    + box(b"free", MVHD, track(table(b"stts", (MANY, 1024)), *ONE_CHUNK, stsz(1, MANY))),
    "an unknown box first": box(b"what", bytes(8)) + BOMBS["samples of one size"],
}


def check(data: bytes) -> None:
    check_boxes(GuardedReader(io.BytesIO(data)))


@pytest.mark.parametrize("data", [*BOMBS.values(), *CLAIMS.values()], ids=[*BOMBS, *CLAIMS])
def test_a_file_that_claims_what_it_cannot_hold_is_refused_at_once(data: bytes) -> None:
    started = time.process_time()
    with pytest.raises(UndecodableAudioError) as caught:
        list(decode(io.BytesIO(data), max_seconds=60))
    assert time.process_time() - started < 0.2
    assert "header" in caught.value.message
    with pytest.raises(UndecodableAudioError):
        check(data)


CHILD = """
import io, json, os, resource, sys, threading, time
import av, numpy, soxr
from steno.audio import container, decode
from steno.errors import AudioError
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
def told(outcome):
    print(json.dumps({"outcome": outcome, "megabytes": peak() - before, "seconds": time.process_time() - started}))
    sys.stdout.flush()
def watch():
    while peak() - before < 300:
        time.sleep(0.02)
    told("is enough")
    os._exit(0)
data, before = sys.stdin.buffer.read(), peak()
if sys.argv[1] == "bare":
    container.check_boxes = lambda reader: None
    threading.Thread(target=watch, daemon=True).start()
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
started, outcome = time.process_time(), "decoded"
try:
    for _ in decode.decode(io.BytesIO(data), max_seconds=60): pass
except (AudioError, MemoryError) as error:
    outcome = type(error).__name__
told(outcome)
"""


def measured(data: bytes, how: str) -> dict[str, float]:
    """What decoding takes in a process of its own, that may not take more than 4 GB and a minute."""
    import steno

    environment = {"PYTHONPATH": str(Path(steno.__file__).parents[1])}
    child = subprocess.run(
        [sys.executable, "-c", CHILD, how], input=data, capture_output=True, check=True, env=environment, timeout=120
    )
    return json.loads(child.stdout.splitlines()[-1])


linux = pytest.mark.skipif(sys.platform != "linux", reason="measures with /proc")


@linux
@pytest.mark.parametrize("name", BOMBS)
def test_without_the_check_it_takes_hundreds_of_megabytes(name: str) -> None:
    """Else the test above proves nothing."""
    assert measured(BOMBS[name], "bare")["megabytes"] > 250


def flv() -> bytes:
    times = b"\0\5times\x0a" + struct.pack(">I", 2**28 - 1) + bytes(9) * 1000
    body = b"\2\0\x0aonMetaData\x08\0\0\0\1\0\x09keyframes\3" + times
    return b"FLV\1\4\0\0\0\x09\0\0\0\0\x12" + struct.pack(">I", len(body))[1:] + bytes(7) + body


def tagged(frame_mb: int) -> bytes:
    """An MP3 with a compressed frame in its ID3 tag."""
    packed = deflated_zeros(frame_mb, before=b"a\0")
    frame = b"PRIV" + _synchsafe(len(packed) + 4) + b"\0\x09" + _synchsafe((frame_mb << 20) + 2) + packed
    return b"ID3\4\0\0" + _synchsafe(len(frame)) + frame + encode(tone(1, SAMPLE_RATE), SAMPLE_RATE, MP3)


def _synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def wav_with_texts(claimed: int) -> bytes:
    text = b"LIST" + struct.pack("<I", claimed + 12) + b"INFOIART" + struct.pack("<I", claimed) + b"x"
    return wav(bytes(2000))[:36] + text


OTHERS = {
    "a text of 2 GB in WAV": wav_with_texts(0x7FFF_FF00),
    "a table of key frames in FLV": flv(),
    "a compressed frame in an ID3 tag": tagged(100),
    "99 thousand boxes": FTYP + box(b"udta", struct.pack(">I4s", 8, b"abcd") * 99_000),
    "14 thousand fragments": fragments(*[moof(trun(1))] * 14_000),
}


@linux
@pytest.mark.parametrize("name", OTHERS)
def test_other_small_files_are_cheap_too(name: str) -> None:
    cost = measured(OTHERS[name], "checked")
    assert cost["megabytes"] < 100
    assert cost["seconds"] < 1


class Sparse(io.RawIOBase):
    """`before`, then zeros up to `size`."""

    def __init__(self, before: bytes, size: int) -> None:
        self.before, self.size, self.at = before, size, 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1) -> bytes:
        size = max(0, min(size, self.size - self.at))
        data = self.before[self.at : self.at + size].ljust(size, b"\0")
        self.at += size
        return data


def recording(hours: float, **claims: int) -> Sparse:
    """48 kHz stereo PCM in MOV, in chunks of half a second, truly that large."""
    samples = int(hours * 3600 * 48_000)
    chunks = samples // 24_000
    tables = table(b"stts", (samples, 1)), table(b"stsc", (1, 24_000, 1)), table(b"stco", *[(28,)] * chunks)
    moov = box(b"moov", MVHD, track(*tables, stsz(4, claims.get("samples", samples))))
    return Sparse(FTYP + moov + struct.pack(">I4sQ", 1, b"mdat", 16 + 4 * samples), len(moov) + 40 + 4 * samples)


def test_hours_of_uncompressed_sound_pass_when_the_file_is_that_large() -> None:
    check_boxes(GuardedReader(recording(6)))


def test_a_day_of_compressed_sound_passes() -> None:
    samples = 24 * 3600 * 47
    tables = table(b"stts", (samples, 1024)), table(b"stsc", (1, 24, 1)), table(b"stco", *[(28,)] * (samples // 24))
    head = FTYP + box(b"moov", MVHD, track(*tables, stsz(0, samples, *[200] * samples)))
    check_boxes(GuardedReader(Sparse(head, len(head) + 200 * samples)))


@pytest.mark.parametrize("kind", [M4A, MP4, MP3, FLAC, MKV, OPUS, ADTS, MPEG_TS], ids=lambda kind: kind.container)
def test_real_files_pass(kind: Kind) -> None:
    data = encode(tone(5, SAMPLE_RATE), SAMPLE_RATE, kind, metadata={"title": "stsz trun moov"})
    check(data)
    check(data[:3000])


def test_a_fragmented_recording_that_broke_off_passes() -> None:
    samples = struct.pack(">4I", 10, 10, 10, 10)
    data = fragments(*[moof(box(b"trun", struct.pack(">II", 0x200, 4), samples))] * 3)
    for cut in range(1, 260):
        check(data[:-20_008][:-cut])


def test_a_small_handmade_recording_is_decoded() -> None:
    assert sum(map(len, decode(io.BytesIO(movie(track(*PCM))), max_seconds=60))) == 10_000


def test_a_tag_before_the_file_is_not_in_the_way() -> None:
    assert sum(map(len, decode(io.BytesIO(tagged(1)), max_seconds=60))) == pytest.approx(SAMPLE_RATE, abs=1200)


class Cancelling(io.BytesIO):
    """Is given up at the second read."""

    cancelled: threading.Event
    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads == 2:
            self.cancelled.set()
        return super().read(size)


def test_cancelling_stops_the_walk() -> None:
    source = Cancelling(fragments(*[moof(trun(1))] * 10_000))
    source.cancelled = threading.Event()
    with pytest.raises(DecodeCancelled):
        list(decode(source, max_seconds=None, cancelled=source.cancelled))
    assert source.reads == 2
