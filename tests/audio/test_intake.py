"""Live messages to audio: however they are cut, restarted or damaged, and whenever the client goes away."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
import soxr
from numpy.typing import NDArray

from audio.encode import FLAC, OPUS, WEBM, Kind, encode, tone, wav16
from steno.audio.decode import decode
from steno.audio.intake import MAX_FAILURES, MAX_UNDECODED_BYTES, Container, ContainerIntake, Intake, PcmIntake
from steno.audio.pcm import ENCODINGS, Encoding
from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.audio.stream_decoder import MAX_READY_SAMPLES, THREAD_NAME, ThreadPipe
from steno.errors import AudioError, NotAudioError, OverloadedError, UndecodableAudioError
from steno.types import BYTES_PER_SAMPLE, SAMPLE_RATE

FIXTURE = Path(__file__).parent.parent / "fixtures" / "weather.flac"
RATE = 48_000
ALL: tuple[Container, ...] = ("webm", "ogg", "mp4")
EBML = b"\x1aE\xdf\xa3"
DECODERS = DecoderPool()
"""Of all tests here: a start takes longer than most of them."""

FLAC_IN_WEBM = Kind("matroska", "flac", "s16")

Samples = NDArray[np.float32]


@cache
def speech() -> Samples:
    """4.5 s at 48 kHz."""
    return soxr.resample(whole(FIXTURE), SAMPLE_RATE, RATE)


def whole(source: Path | bytes) -> Samples:
    opened = source if isinstance(source, Path) else io.BytesIO(source)
    return np.concatenate(list(decode(opened, max_seconds=None)))


OPTIONS: dict[Container, dict[str, str]] = {
    "webm": {"live": "1", "cluster_time_limit": "100", "flush_packets": "1"},
    "ogg": {"page_duration": "100000", "flush_packets": "1"},
    "mp4": {"movflags": "empty_moov+default_base_moof", "frag_duration": "100000", "flush_packets": "1"},
}


class Sink:
    """Cannot seek: what was written stays as it is."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> int:
        self.written += data
        return len(data)

    def take(self) -> bytes:
        data, self.written = self.written, b""
        return data


@cache
def recording(container: Container) -> list[tuple[float, bytes]]:
    """`speech` in messages of about 100 ms, cut as MediaRecorder does: (seconds encoded so far, bytes)."""
    sink, messages, encoded_s = Sink(), [], 0.0
    codec, form, size = ("aac", "fltp", 1024) if container == "mp4" else ("libopus", "flt", 960)
    with av.open(sink, "w", format=container, options=OPTIONS[container]) as out:
        stream = out.add_stream(codec, rate=RATE, layout="mono")
        stream.format, stream.time_base = form, Fraction(1, RATE)
        for start in range(0, len(speech()), size):
            frame = av.AudioFrame.from_ndarray(speech()[None, start : start + size], format=form, layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            encoded_s += frame.samples / RATE
            out.mux(stream.encode(frame))
            messages.append((encoded_s, sink.take()))
        out.mux(stream.encode(None))
    messages.append((encoded_s, sink.take()))
    return [(until_s, data) for until_s, data in messages if data]


def file(container: Container) -> bytes:
    return b"".join(data for _, data in recording(container))


async def hear(intake: Intake, messages: Iterable[bytes]) -> Samples:
    """All that comes of `messages` and of a flush."""
    pieces = [piece for message in messages async for piece in intake.feed(message)]
    assert all(0 < len(piece) <= SAMPLE_RATE for piece in pieces)
    return np.concatenate([*pieces, await intake.flush()])


async def hear_all(container: Container | None, messages: Iterable[bytes]) -> Samples:
    intake = ContainerIntake(DECODERS, container)
    try:
        return await hear(intake, messages)
    finally:
        await intake.aclose()


async def refusal(intake: Intake, message: bytes) -> AudioError:
    with pytest.raises(AudioError) as caught:
        await hear(intake, [message])
    return caught.value


def cut(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = next(sizes)
        yield data[at : at + size]
        at += size


def decoders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(THREAD_NAME)]


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    assert decoders() == []


@pytest.mark.parametrize("container", ALL)
@pytest.mark.parametrize("split", ["as recorded", "at once", "byte by byte at first", "at random"])
async def test_however_it_is_cut_a_stream_gives_what_the_file_gives(container: Container, split: str) -> None:
    data, dice = file(container), random.Random(1)
    messages = {
        "as recorded": [data for _, data in recording(container)],
        "at once": [data],
        "byte by byte at first": [*cut(data[:300], iter(lambda: 1, 0)), data[300:]],
        "at random": list(cut(data, iter(lambda: dice.choice([1, 2, 7, 100, 3000]), 0))),
    }[split]
    assert np.array_equal(await hear_all(container, messages), whole(data))


@pytest.mark.parametrize("container", ALL)
async def test_what_was_said_comes_out(container: Container) -> None:
    heard, said = await hear_all(None, [file(container)]), whole(FIXTURE)
    assert abs(len(heard) - len(said)) < 0.05 * SAMPLE_RATE
    # An encoder of AAC puts a frame of silence first, and a live stream does not say so.
    primed = round(1024 / RATE * SAMPLE_RATE) if container == "mp4" else 0
    length = min(len(heard) - primed, len(said))
    assert np.corrcoef(heard[primed:][:length], said[:length])[0, 1] > 0.98


@pytest.mark.parametrize("container", ALL)
async def test_audio_comes_out_as_soon_as_its_bytes_are_in(container: Container) -> None:
    intake, got_s, lags = ContainerIntake(DECODERS, container), 0.0, []
    for fed_s, message in recording(container):
        async for piece in intake.feed(message):
            got_s += len(piece) / SAMPLE_RATE
        lags.append(fed_s - got_s)
    await intake.aclose()
    assert len(lags) > 40
    assert max(lags) < 0.15


async def test_a_video_that_comes_along_holds_nothing_up() -> None:
    data = encode(tone(3, RATE), RATE, Kind("webm", "libopus", "flt"), picture=False)
    movie = encode(tone(3, RATE), RATE, Kind("matroska", "libopus", "flt"), picture=True)
    assert len(await hear_all(None, [movie])) == len(await hear_all(None, [data])) == len(whole(data))


@pytest.mark.parametrize("kind", [OPUS, WEBM, FLAC_IN_WEBM, Kind("matroska", "pcm_f32le", "flt")])
@pytest.mark.parametrize("channels", [1, 2])
async def test_other_codecs_channels_and_finished_files_are_read_too(kind: Kind, channels: int) -> None:
    data = encode(np.stack([tone(2, RATE)] * channels), RATE, kind)
    assert np.array_equal(await hear_all(None, [data]), whole(data))


@pytest.mark.parametrize("first", ALL)
@pytest.mark.parametrize("then", ALL)
@pytest.mark.parametrize("apart", [False, True], ids=["whole messages", "a first message of one byte"])
async def test_a_restarted_recorder_is_a_new_stream(first: Container, then: Container, apart: bool) -> None:
    before = [data for _, data in recording(first)][:20]
    after = [data for _, data in recording(then)]
    again = [after[0][:1], after[0][1:], *after[1:]] if apart else after
    heard = await hear_all(None, [*before, *again])
    assert np.array_equal(heard, np.concatenate([await hear_all(None, before), whole(file(then))]))


async def test_an_ogg_page_that_begins_a_message_restarts_nothing() -> None:
    pages = [b"OggS" + page for page in file("ogg").split(b"OggS")[1:]]
    assert len(pages) > 40
    assert np.array_equal(await hear_all("ogg", pages), whole(file("ogg")))


GARBAGE = {
    "text": b"this is not audio" * 100,
    "a wav": wav16(tone(1, SAMPLE_RATE)),
    "a flac": encode(tone(1, SAMPLE_RATE), SAMPLE_RATE, FLAC),
    "noise": random.Random(2).randbytes(50_000),
    "nearly a webm": EBML[:3] + b"x",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_is_refused_once_and_dropped_until_a_recorder_starts(garbage: bytes) -> None:
    intake = ContainerIntake(DECODERS)
    error = await refusal(intake, garbage)
    assert type(error) is NotAudioError
    assert "WebM, Ogg or MP4" in error.message
    assert len(await hear(intake, [b"more", garbage])) == 0
    assert np.array_equal(await hear(intake, [file("webm")]), whole(file("webm")))
    await intake.aclose()


@pytest.mark.parametrize("container", ALL)
async def test_a_container_that_was_not_announced_is_refused(container: Container) -> None:
    other: Container = "ogg" if container == "webm" else "webm"
    intake = ContainerIntake(DECODERS, container)
    assert type(await refusal(intake, file(other))) is NotAudioError
    assert len(await hear(intake, [file(container)])) == len(whole(file(container)))
    await intake.aclose()


async def test_an_ogg_stream_joined_in_the_middle_is_called_that() -> None:
    error = await refusal(ContainerIntake(DECODERS), recording("ogg")[10][1])
    assert type(error) is UndecodableAudioError
    assert "in the middle" in error.message


@pytest.mark.parametrize("container", ["webm", "ogg"])  # in MP4 nothing marks where to go on
async def test_garbage_in_the_middle_costs_only_what_it_hit(container: Container) -> None:
    messages = [data for _, data in recording(container)]
    noise = random.Random(3).randbytes(5000)
    heard = await hear_all(None, [*messages[:20], noise, *messages[20:]])
    assert 0.8 * len(whole(file(container))) < len(heard) <= len(whole(file(container)))


BEGINNINGS: dict[Container, bytes] = {
    "mp4": b"\0\0\0\x18ftypiso5" + bytes(12),
    "webm": EBML + b"\x01\xff\xff\xff\xff\xff\xff\xff",
    "ogg": b"OggS\0\2" + bytes(20) + b"\xff" + b"\xff" * 255,
}


@pytest.mark.parametrize("container", ALL)
@pytest.mark.parametrize("filler", [bytes(100_000), b"\xff" * 100_000, random.Random(4).randbytes(100_000)])
async def test_a_header_that_never_ends_is_refused_within_the_limit(container: Container, filler: bytes) -> None:
    intake = ContainerIntake(DECODERS, container)
    endless = [filler] * (2 + MAX_UNDECODED_BYTES[container] // len(filler))
    error = await refusal(intake, b"".join([BEGINNINGS[container], *endless]))
    assert type(error) is UndecodableAudioError
    assert len(await hear(intake, endless)) == 0
    assert np.array_equal(await hear(intake, [file(container)]), whole(file(container)))
    await intake.aclose()


async def test_audio_that_stops_coming_is_refused_within_the_limit() -> None:
    intake = ContainerIntake(DECODERS)
    messages = [data for _, data in recording("webm")][:20]
    assert len(await hear(intake, messages)) > SAMPLE_RATE
    error = await refusal(intake, b"\xec\x01\x00\x00\x00\x00\xff\xff\xff" + bytes(2_000_000))  # a Void of 16 MB
    assert type(error) is UndecodableAudioError
    await intake.aclose()


async def test_a_stream_without_an_audio_track_is_called_that() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        video = out.add_stream("mpeg4", rate=5)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        out.mux(video.encode(None))
    intake = ContainerIntake(DECODERS)
    error = await refusal(intake, buffer.getvalue())
    await intake.aclose()
    assert type(error) is NotAudioError
    assert "stream has no audio track" in error.message


async def test_a_codec_that_browsers_do_not_record_is_refused() -> None:
    intake = ContainerIntake(DECODERS)
    error = await refusal(intake, encode(tone(1, RATE), RATE, Kind("matroska", "aac")))
    await intake.aclose()
    assert type(error) is UndecodableAudioError
    assert "codec" in error.message


async def test_a_stream_of_one_damaged_recording_after_the_other_gets_no_more_decoders() -> None:
    intake, damaged = ContainerIntake(DECODERS), encode(tone(1, RATE), RATE, Kind("matroska", "aac"))
    for _ in range(MAX_FAILURES):
        assert type(await refusal(intake, damaged)) is UndecodableAudioError
    assert len(await hear(intake, [damaged, file("webm")])) == 0
    await intake.aclose()


async def test_a_message_of_ten_megabytes_comes_out_in_small_pieces() -> None:
    data = encode(np.random.default_rng(0).normal(0, 0.1, 130 * RATE).astype(np.float32), RATE, FLAC_IN_WEBM)
    assert len(data) > 10_000_000
    assert np.array_equal(await hear_all("webm", [data]), whole(data))


async def test_ten_minutes_in_a_small_message_come_out_in_small_pieces() -> None:
    data = encode(np.zeros(600 * RATE, np.float32), RATE, FLAC_IN_WEBM)
    assert len(data) < 1_000_000
    assert np.array_equal(await hear_all("webm", [data]), whole(data))


def test_a_decoder_that_runs_ahead_waits_until_its_audio_is_taken() -> None:
    news, offered, second = threading.Semaphore(0), [], np.zeros(SAMPLE_RATE, np.float32)
    pipe = ThreadPipe(news.release, max_undecoded=1)

    def decode_on() -> None:
        for _ in range(100):
            offered.append(second)
            pipe.put(second)

    thread = threading.Thread(target=decode_on)
    thread.start()
    for taken in range(100):
        assert news.acquire(timeout=10)
        assert len(offered) <= taken + MAX_READY_SAMPLES // SAMPLE_RATE + 1
        assert len(pipe.take()) == SAMPLE_RATE
    thread.join()


async def test_a_cancelled_feed_leaves_no_thread() -> None:
    intake = ContainerIntake(DECODERS)
    data = encode(tone(600, SAMPLE_RATE), SAMPLE_RATE, FLAC_IN_WEBM)
    begun = asyncio.Event()

    async def client() -> None:
        async for _ in intake.feed(data):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(client())
    await begun.wait()
    assert len(decoders()) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await intake.aclose()
    assert decoders() == []


async def test_closing_wakes_a_feed_that_waits() -> None:
    intake, data = ContainerIntake(DECODERS), encode(tone(600, SAMPLE_RATE), SAMPLE_RATE, FLAC_IN_WEBM)
    task = asyncio.create_task(hear(intake, [data]))
    while not decoders():
        await asyncio.sleep(0)
    await intake.aclose()
    assert len(await task) < 600 * SAMPLE_RATE


@pytest.mark.parametrize("size", [0, 1, 3, 50, 10_000])
async def test_half_a_file_and_then_nothing_leaves_no_thread(size: int) -> None:
    intake = ContainerIntake(DECODERS)
    await hear(intake, [file("webm")[:size]])
    await intake.aclose()
    await intake.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await hear(intake, [b"more"])


@pytest.mark.skipif(not hasattr(psutil.Process, "num_fds"), reason="counts file descriptors")
async def test_two_hundred_streams_leave_neither_threads_nor_files() -> None:
    process, head = psutil.Process(), file("ogg")[:5000]
    await hear_all(None, [head])
    threads, files = process.num_threads(), process.num_fds()
    for _ in range(200):
        assert len(await hear_all(None, [head])) > 0
    assert process.num_threads() <= threads + 2  # the system takes a moment to bury the last
    assert process.num_fds() == files


async def test_an_intake_that_nobody_closed_ends_with_its_last_reference() -> None:
    intake = ContainerIntake(DECODERS)
    await hear(intake, [file("ogg")[:5000]])
    thread = next(thread for thread in threading.enumerate() if thread.name in decoders())
    del intake
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


def test_an_intake_that_nobody_closed_lets_the_process_end(tmp_path: Path) -> None:
    (tmp_path / "half.ogg").write_bytes(file("ogg")[:5000])
    code = (
        "import asyncio, pathlib, sys\n"
        "from steno.audio.intake import ContainerIntake\n"
        "from steno.audio.sandbox.decoder_pool import DecoderPool\n"
        "kept = ContainerIntake(DecoderPool())\n"
        "async def main():\n"
        "    print(sum([len(piece) async for piece in kept.feed(pathlib.Path(sys.argv[1]).read_bytes())]) > 0)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "half.ogg")]
    ended = subprocess.run(command, capture_output=True, check=True, timeout=90)
    assert (ended.stdout, ended.stderr) == (b"True\n", b"")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
async def test_raw_samples_may_be_cut_anywhere(encoding: Encoding, rate: int) -> None:
    seconds = 5
    if encoding == "pcm_f32le":
        data = tone(seconds, rate).tobytes()
    else:
        data = random.Random(5).randbytes(seconds * rate * BYTES_PER_SAMPLE[encoding])
    dice = random.Random(6)
    messages = list(cut(data, iter(lambda: dice.choice([1, 3, 101, 2049, 100_000]), 0)))
    heard = await hear(PcmIntake(encoding, rate), messages)
    assert len(heard) == seconds * SAMPLE_RATE
    assert np.abs(heard).max() <= 1
    assert np.array_equal(heard, await hear(PcmIntake(encoding, rate), [data]))


async def test_half_a_sample_outlives_a_flush() -> None:
    intake = PcmIntake("pcm_s16le", SAMPLE_RATE)
    assert (await hear(intake, [b"\x00\x40\x00"])).tolist() == [0.5]
    assert (await hear(intake, [b"\xc0"])).tolist() == [-0.5]


@pytest.mark.parametrize("kind", [OPUS, WEBM, Kind("matroska", "flac", "s16")], ids=["ogg", "webm", "flac"])
async def test_eight_channels_are_read(kind: Kind) -> None:
    data = encode(np.stack([tone(1, RATE)] * 8), RATE, kind)
    assert np.array_equal(await hear_all(None, [data]), whole(data))


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
async def test_a_decoder_that_is_killed_is_one_error_and_a_new_recording_gets_another() -> None:
    with closing(DecoderPool()) as decoders:
        intake, messages = ContainerIntake(decoders), [data for _, data in recording("webm")]
        assert len(await hear(intake, messages[:20])) > SAMPLE_RATE
        os.kill(decoders.pids[0], signal.SIGKILL)
        error = await refusal(intake, messages[20])
        assert type(error) is UndecodableAudioError
        assert "stream is damaged" in error.message
        assert len(await hear(intake, messages[21:])) == 0
        assert np.array_equal(await hear(intake, messages), whole(file("webm")))
        await intake.aclose()


async def test_a_stream_that_ends_leaves_its_decoder_to_the_next() -> None:
    with closing(DecoderPool()) as decoders:
        for _ in range(3):
            intake = ContainerIntake(decoders)
            await hear(intake, [file("ogg")[:5000]])
            await intake.aclose()
        assert decoders.started == 1


async def test_a_stream_beyond_the_decoders_is_refused_until_one_is_free() -> None:
    with closing(DecoderPool(1)) as decoders:
        first, second = ContainerIntake(decoders), ContainerIntake(decoders)
        await hear(first, [file("webm")[:5000]])
        with pytest.raises(OverloadedError):
            await hear(second, [file("ogg")])
        assert len(await hear(second, [b"what follows is left out"])) == 0
        await first.aclose()
        assert np.array_equal(await hear(second, [file("ogg")]), whole(file("ogg")))
        await second.aclose()


async def test_a_stream_goes_on_after_a_flush() -> None:
    messages = [data for _, data in recording("webm")]
    intake = ContainerIntake(DECODERS)
    heard = [await hear(intake, messages[:20]), await hear(intake, messages[20:])]
    await intake.aclose()
    assert abs(sum(map(len, heard)) - len(whole(file("webm")))) <= 1
    assert np.corrcoef(np.concatenate(heard)[: 4 * SAMPLE_RATE], whole(file("webm"))[: 4 * SAMPLE_RATE])[0, 1] > 0.99


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (wav16(tone(1, 8000), 8000), "a WAV"),
        (wav16(tone(1, SAMPLE_RATE))[:36] + bytes(5000), "a WAV"),
        (encode(tone(1, SAMPLE_RATE), SAMPLE_RATE, FLAC), "a FLAC"),
        (b"ID3\4" + bytes(100), "an MP3"),
        (encode(tone(1, RATE), RATE, Kind("mp4", "aac")), "an MP4"),
        (encode(tone(1, RATE), RATE, OPUS), "an Ogg"),
        (encode(tone(1, RATE), RATE, WEBM), "a WebM"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("size", [1, 5, 3200])
async def test_a_file_that_is_sent_as_raw_samples_is_refused_by_name(data: bytes, kind: str, size: int) -> None:
    intake = PcmIntake("pcm_s16le", SAMPLE_RATE)
    messages = [data[at : at + size] for at in range(0, min(len(data), 6400), size)]
    refusals, heard = [], 0
    for message in messages:
        try:
            heard += sum([len(piece) async for piece in intake.feed(message)])
        except NotAudioError as error:
            refusals.append(error.message)
    assert [kind in refusal and "pcm_s16le" in refusal for refusal in refusals] == [True]
    assert heard == len(await intake.flush()) == 0


@pytest.mark.parametrize("size", [1, 7, 44, 3200])
async def test_the_header_of_a_wav_of_the_session_s_own_format_is_skipped(size: int) -> None:
    data = wav16(tone(1, SAMPLE_RATE))
    messages = [data[at : at + size] for at in range(0, len(data), size)]
    heard = await hear(PcmIntake("pcm_s16le", SAMPLE_RATE), messages)
    assert np.array_equal(heard, await hear(PcmIntake("pcm_s16le", SAMPLE_RATE), [data[44:]]))


async def test_a_message_of_box_headers_alone_takes_the_loop_a_moment_at_a_time() -> None:
    intake = ContainerIntake(DECODERS, "mp4")
    late: list[float] = []

    async def watch() -> None:
        while True:
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(0)
            late.append(asyncio.get_running_loop().time() - began)

    watching = asyncio.create_task(watch())
    with pytest.raises(AudioError):
        await hear(intake, [file("mp4")[:729] + (8).to_bytes(4, "big") + b"free" * 1, b"\0\0\0\x08free" * (1 << 17)])
    watching.cancel()
    await intake.aclose()
    assert max(late) < 0.1


async def test_samples_that_are_shorter_than_any_magic_are_kept() -> None:
    intake = PcmIntake("pcm_s16le", SAMPLE_RATE)
    assert [piece async for piece in intake.feed(b"\1\2" * 3)] == []
    assert len(await intake.flush()) == 3


@pytest.mark.parametrize("rate", [0, 7999, 48_001])
def test_a_rate_that_nobody_records_at_is_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="8000 to 48000 Hz, got"):
        PcmIntake("pcm_s16le", rate)


def test_an_unknown_container_is_named() -> None:
    with pytest.raises(ValueError, match="webm, ogg, mp4, got 'avi'"):
        ContainerIntake(DECODERS, "avi")
