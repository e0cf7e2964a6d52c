"""Audio inputs of `steno live`: a file, standard input, the microphone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steno.errors import StenoError

if TYPE_CHECKING:
    from steno.client.stream_options import LiveEncoding

RATE = 16_000
CHUNK_S = 0.1
READ_BYTES = 1 << 16
CONTAINERS = ("webm", "ogg", "mp4")
RAW = "ffmpeg -i - -f s16le -ar 16000 -ac 1 -"
MIC_CHUNKS = 600
"""Max chunks of microphone audio, one minute, that wait while a connection is lost."""


class InputError(StenoError):
    """The audio input cannot be read."""

    code = "input_error"


@dataclass(frozen=True, slots=True)
class LiveInput:
    """Audio, and its encoding. `chunks` is called once."""

    chunks: Callable[[], AsyncGenerator[bytes, None]]
    encoding: LiveEncoding = "pcm_s16le"
    sample_rate: int = RATE
    in_real_time: bool = False
    """Whether audio arrives in real time; then lag is reported."""
    is_endless: bool = False


def from_file(path: Path, *, in_real_time: bool) -> LiveInput:
    """Any recording that can be decoded. Raises InputError if the file does not exist."""
    try:
        path.stat()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if path.is_dir():
        raise click.UsageError(f"{path} is a folder; expected a file")
    return LiveInput(
        lambda: _paced(_decoded(path)) if in_real_time else _unpaced(_decoded(path)), in_real_time=in_real_time
    )


def from_stdin(encoding: str, sample_rate: int) -> LiveInput:
    """Standard input, unpaced. An incomplete sample at its end is dropped."""
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("standard input is a terminal; pipe audio into it (default: 16 kHz mono PCM16)")
    return LiveInput(lambda: _unpaced(_read_stdin(encoding)), encoding, sample_rate)  # type: ignore[arg-type]


def from_microphone(device: str | None) -> LiveInput:
    """The microphone. Raises InputError if sounddevice is not installed."""
    sounddevice = _sounddevice()
    chosen = int(device) if device is not None and device.isdigit() else device
    return LiveInput(lambda: _unpaced(_recorded(sounddevice, chosen)), in_real_time=True, is_endless=True)


async def until_stopped(stop: asyncio.Event, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The chunks before `stop` is set."""
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        async with aclosing(chunks):
            while not stop.is_set():
                fetching = asyncio.create_task(_next(chunks), name="fetch")
                try:
                    await asyncio.wait([fetching, stopping], return_when=asyncio.FIRST_COMPLETED)
                    if not fetching.done() or (chunk := fetching.result()) is None:
                        return
                finally:
                    fetching.cancel()
                    await asyncio.wait([fetching])
                yield chunk
    finally:
        stopping.cancel()
        await asyncio.wait([stopping])


async def _next(chunks: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(chunks, None)


async def _unpaced(chunks: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    from steno.client.pulling import in_thread

    async with aclosing(in_thread(chunks)) as fetched:
        async for chunk in fetched:
            yield chunk


async def _paced(chunks: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Delay each chunk until it would have been recorded. After a stall, there is no burst of more than 1 s."""
    clock = asyncio.get_running_loop().time
    due = clock()
    async with aclosing(_unpaced(chunks)) as fetched:
        async for chunk in fetched:
            due = max(due, clock() - 1.0) + len(chunk) / 2 / RATE
            await asyncio.sleep(due - clock())
            yield chunk


def _decoded(path: Path) -> Iterator[bytes]:
    from steno.audio.pcm import to_s16le
    from steno.audio.sandbox.decoder_pool import DecoderPool

    try:
        with closing(DecoderPool(1)) as decoders:
            for audio in decoders.decode(path, max_seconds=None, chunk_s=CHUNK_S):
                yield to_s16le(audio)
    except StenoError as error:
        raise InputError(f"{path}: {error.message}") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _read_stdin(encoding: str) -> Iterator[bytes]:
    data = os.read(sys.stdin.fileno(), READ_BYTES)
    _refuse_file(data, encoding)
    while data:
        yield data
        data = os.read(sys.stdin.fileno(), READ_BYTES)


def _refuse_file(begin: bytes, encoding: str) -> None:
    """Raise InputError if the data is an audio file but the encoding is raw: it would be recognised as noise."""
    from steno.audio.signatures import file_format

    name = file_format(begin)
    if name is None or encoding in CONTAINERS:
        return
    own = name.lower()
    hint = f"use --encoding {own}" if own in CONTAINERS else f"pipe it through {RAW}"
    raise InputError(
        f"standard input is a {name} file, but --encoding {encoding} is raw audio: {hint}, or name the file"
    )


def _sounddevice() -> Any:
    try:
        import sounddevice  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        raise InputError("--mic needs the sounddevice package: pip install sounddevice") from None
    except OSError as error:
        hint = "on Debian and Ubuntu, apt install libportaudio2"
        raise InputError(f"sounddevice is installed, but does not work: {error}; {hint}") from None
    return sounddevice


def _recorded(sounddevice: Any, device: int | str | None) -> Iterator[bytes]:
    """Record in PortAudio's thread into a queue, because PortAudio's own buffer is small."""
    recorded: queue.Queue[bytes] = queue.Queue(MIC_CHUNKS)

    def keep(data: Any, frames: int, time: Any, status: Any) -> None:
        with contextlib.suppress(queue.Full):
            recorded.put_nowait(bytes(data))

    try:
        with sounddevice.RawInputStream(
            samplerate=RATE, blocksize=round(CHUNK_S * RATE), device=device, channels=1, dtype="int16", callback=keep
        ):
            while True:
                if recorded.full():
                    raise InputError(f"recognition is {MIC_CHUNKS * CHUNK_S:g} s behind the microphone; stopping")
                yield recorded.get()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise InputError(f"the microphone cannot be used: {error}") from None
