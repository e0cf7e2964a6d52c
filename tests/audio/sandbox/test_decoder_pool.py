"""Media in processes of their own: what a file does to its decoder happens to nothing else."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from audio.bombs import flac_of_many_keys, matroska_of_compressed_headers
from audio.encode import FLAC, M4A, MKV, MP3, OPUS, WAVPACK, Kind, encode, tone, wav, wav16
from running import until
from steno.audio.decode import MediaInfo, decode
from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.audio.sandbox.limits import DecoderLimits
from steno.audio.source import DecodeCancelled
from steno.errors import (
    AudioError,
    AudioTooLongError,
    EmptyAudioError,
    NotAudioError,
    OverloadedError,
    UnavailableError,
    UndecodableAudioError,
)
from steno.types import SAMPLE_RATE

PATIENCE_S = 30.0
FIXTURES = Path(__file__).parents[2] / "fixtures"
SMALL = wav16(tone(2, SAMPLE_RATE))
LONG = encode(np.random.default_rng(1).normal(0, 0.1, 60 * SAMPLE_RATE).astype(np.float32), SAMPLE_RATE, FLAC)
KEYS = flac_of_many_keys(encode(tone(1, SAMPLE_RATE), SAMPLE_RATE, FLAC))
"""Without a limit it takes half a minute before its first sample."""


@pytest.fixture
def pool() -> Iterator[DecoderPool]:
    pool = DecoderPool()
    yield pool
    pids = pool.pids
    pool.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)


def samples(pool: DecoderPool, data: bytes) -> int:
    return sum(map(len, pool.decode(io.BytesIO(data), max_seconds=None)))


def refusal(pool: DecoderPool, data: bytes, max_seconds: float | None = None) -> AudioError:
    with pytest.raises(AudioError) as caught:
        list(pool.decode(io.BytesIO(data), max_seconds=max_seconds))
    return caught.value


def wait_until_gone(*pids: int) -> None:
    processes = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    _, alive = psutil.wait_procs(processes, PATIENCE_S)
    assert alive == []


@pytest.mark.parametrize("kind", [FLAC, MP3, M4A, OPUS, MKV], ids=lambda kind: kind.container)
def test_a_file_gives_what_it_gives_in_this_process(pool: DecoderPool, kind: Kind) -> None:
    data = encode(tone(5, 48_000), 48_000, kind)
    here = list(decode(io.BytesIO(data), max_seconds=None))
    there = list(pool.decode(io.BytesIO(data), max_seconds=None))
    assert [len(chunk) for chunk in there] == [len(chunk) for chunk in here]
    assert np.array_equal(np.concatenate(there), np.concatenate(here))


def test_eight_channels_are_decoded(pool: DecoderPool) -> None:
    assert samples(pool, encode(np.stack([tone(1, 48_000)] * 8), 48_000, WAVPACK)) == SAMPLE_RATE


def test_what_the_header_says_comes_before_the_audio(pool: DecoderPool) -> None:
    infos: list[MediaInfo] = []
    chunks = pool.decode(FIXTURES / "weather.flac", max_seconds=None, on_open=infos.append)
    next(chunks)
    assert infos == [MediaInfo("flac", "flac", 16_000, 1, 4.4781875, is_exact=True)]
    chunks.close()


class Pipe(io.BytesIO):
    """What cannot seek."""

    def seekable(self) -> bool:
        return False


def test_a_pipe_is_decoded_too(pool: DecoderPool) -> None:
    source = Pipe(encode(tone(2, 48_000), 48_000, FLAC))
    assert sum(map(len, pool.decode(source, max_seconds=None))) == 2 * SAMPLE_RATE


def test_a_damaged_file_is_a_line_in_the_log_of_this_process(pool: DecoderPool, logs: list[str]) -> None:
    data = encode(tone(5, SAMPLE_RATE), SAMPLE_RATE, FLAC)
    samples(pool, data[: len(data) // 2])
    assert len(logs) == 1
    assert logs[0].startswith("WARNING audio is damaged: ")


REFUSED: list[tuple[bytes, type[AudioError]]] = [
    (b"hello, I am text" * 100, NotAudioError),
    (wav(b""), EmptyAudioError),
    (SMALL[:30], UndecodableAudioError),
    (SMALL, AudioTooLongError),
]


def test_refused_files_are_refused_as_in_this_process_and_cost_no_process(pool: DecoderPool) -> None:
    for data, error in REFUSED:
        there = refusal(pool, data, max_seconds=0.5)
        assert type(there) is error
        with pytest.raises(error) as here:
            list(decode(io.BytesIO(data), max_seconds=0.5))
        assert there.message == here.value.message
    assert pool.started == 1


class Counting(io.BytesIO):
    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        return super().read(size)


def test_a_warm_decoder_opens_a_small_wav_without_a_start_and_with_one_question(pool: DecoderPool) -> None:
    samples(pool, SMALL)
    for _ in range(20):
        source = Counting(SMALL)
        assert sum(map(len, pool.decode(source, max_seconds=None))) == 2 * SAMPLE_RATE
        assert source.reads == 1
    assert pool.started == 1


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_a_decoder_killed_in_mid_file_is_that_file_s_error_alone(pool: DecoderPool, logs: list[str]) -> None:
    hit, other = (pool.decode(io.BytesIO(LONG), max_seconds=None) for _ in range(2))
    next(hit)
    (victim,) = pool.pids
    next(other)
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(UndecodableAudioError, match="its decoder crashed"):
        list(hit)
    assert sum(map(len, other)) == 59 * SAMPLE_RATE
    assert logs == ["WARNING the decoder process of a file died: SIGKILL"]
    assert victim not in pool.pids


@pytest.mark.skipif(os.name != "posix", reason="Windows has no limit on CPU time")
def test_a_file_that_takes_cpu_time_and_gives_no_audio_is_given_up(logs: list[str]) -> None:
    with contextlib.closing(DecoderPool(limits=DecoderLimits(cpu_s=1))) as pool:
        assert type(refusal(pool, KEYS)) is UndecodableAudioError
        assert logs == ["WARNING the decoder process of a file died: SIGXCPU"]
        assert samples(pool, SMALL) == 2 * SAMPLE_RATE


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
def test_a_file_that_takes_memory_gets_no_more_than_its_share() -> None:
    bomb = matroska_of_compressed_headers()
    with contextlib.closing(DecoderPool(limits=DecoderLimits(memory_mb=128))) as pool:
        samples(pool, SMALL)
        (pid,) = pool.pids
        before_mb = peak_mb(pid)
        chunks = pool.decode(io.BytesIO(bomb), max_seconds=None, on_open=lambda _: pytest.fail("it was opened"))
        with pytest.raises(UndecodableAudioError):
            next(chunks)
        if psutil.pid_exists(pid):  # its allocations failed, and it went on
            assert peak_mb(pid) <= before_mb + 128
        assert samples(pool, SMALL) == 2 * SAMPLE_RATE


def peak_mb(pid: int) -> float:
    """The largest address space that the process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmPeak"))


def test_cancelling_ends_a_decoder_in_the_middle_of_a_single_call_into_ffmpeg(pool: DecoderPool) -> None:
    cancelled = threading.Event()
    source = Counting(KEYS)
    chunks = pool.decode(source, max_seconds=None, cancelled=cancelled)
    failure: list[BaseException] = []

    def run() -> None:
        try:
            next(chunks)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while source.reads < len(KEYS) // (1 << 17):  # then FFmpeg has all that it needs to be busy for long
        assert thread.is_alive(), failure
        thread.join(0.01)
    (pid,) = pool.pids
    cancelled.set()
    thread.join(PATIENCE_S)
    assert [type(error) for error in failure] == [DecodeCancelled]
    until(lambda: not psutil.pid_exists(pid))


def test_a_file_that_is_given_up_ends_its_process(pool: DecoderPool) -> None:
    chunks = pool.decode(io.BytesIO(LONG), max_seconds=None)
    next(chunks)
    (pid,) = pool.pids
    chunks.close()
    assert not psutil.pid_exists(pid)
    assert pool.pids == []


class Broken(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise ConnectionResetError("the client went away")


def test_what_the_source_raises_comes_through_as_it_is(pool: DecoderPool) -> None:
    with pytest.raises(ConnectionResetError, match="the client went away"):
        list(pool.decode(Broken(SMALL), max_seconds=None))
    assert samples(pool, SMALL) == 2 * SAMPLE_RATE


def test_a_process_that_nothing_uses_ends_by_itself() -> None:
    with contextlib.closing(DecoderPool(idle_s=0.05)) as pool:
        chunks = pool.decode(io.BytesIO(SMALL), max_seconds=None)
        next(chunks)
        (pid,) = pool.pids
        list(chunks)
        wait_until_gone(pid)
        assert samples(pool, SMALL) == 2 * SAMPLE_RATE
        assert pool.started == 2


def test_no_more_than_its_size_are_lent_and_the_next_is_told_to_come_back() -> None:
    with contextlib.closing(DecoderPool(2)) as pool:
        running = [pool.decode(io.BytesIO(LONG), max_seconds=None) for _ in range(2)]
        for chunks in running:
            next(chunks)
        with pytest.raises(OverloadedError, match="2 recordings or streams"):
            samples(pool, SMALL)
        running[0].close()
        assert samples(pool, SMALL) == 2 * SAMPLE_RATE
        running[1].close()


def test_a_closed_pool_lends_nothing_and_has_no_process() -> None:
    pool = DecoderPool()
    chunks = pool.decode(io.BytesIO(LONG), max_seconds=None)
    next(chunks)
    (pid,) = pool.pids
    pool.close()
    with pytest.raises(UndecodableAudioError):
        list(chunks)
    assert not psutil.pid_exists(pid)
    with pytest.raises(UnavailableError, match="shut down"):
        samples(pool, SMALL)


def test_a_pool_that_was_not_closed_takes_its_processes_with_it() -> None:
    pool = DecoderPool()
    samples(pool, SMALL)
    (pid,) = pool.pids
    del pool
    gc.collect()
    wait_until_gone(pid)


def test_a_process_that_cannot_be_started_is_the_server_s_fault(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(UnavailableError, match="no decoder process"):
        samples(pool, SMALL)
    monkeypatch.undo()
    assert samples(pool, SMALL) == 2 * SAMPLE_RATE


@pytest.mark.skipif(os.name != "posix", reason="niceness, sessions")
def test_a_decoder_is_nicer_than_the_server_gets_no_keys_and_no_ctrl_c(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEYS", "secret")
    samples(pool, SMALL)
    process = psutil.Process(pool.pids[0])
    assert process.nice() == os.nice(0) + DecoderLimits().niceness
    assert "API_KEYS" not in process.environ()
    assert os.getsid(process.pid) != os.getsid(0)


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
@pytest.mark.parametrize("data", [SMALL, LONG, KEYS], ids=["idle", "in mid-file", "busy"])
def test_decoders_end_when_their_server_is_killed(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    code = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from steno.audio.sandbox.limits import DecoderLimits\n"
        "from steno.audio.sandbox.decoder_pool import DecoderPool\n"
        "pool = DecoderPool(limits=DecoderLimits(cpu_s=3))\n"
        "chunks = pool.decode(Path(sys.argv[1]), max_seconds=None)\n"
        "threading.Thread(target=lambda: [next(chunks), next(chunks), next(chunks, None)], daemon=True).start()\n"
        "while not pool.pids: pass\n"
        "print(*pool.pids, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "file")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        assert psutil.pid_exists(pid)
        server.kill()
        server.wait(PATIENCE_S)
    wait_until_gone(pid)
