"""The file pipeline on the scripted backend: order, bounds, cancellation, failure."""

from __future__ import annotations

import asyncio
import io
import math
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from engine.engine_kinds import engine_kind, new_engine  # noqa: F401
from engine.virtual import SleepingBackend, now
from engine.virtual import run as virtually
from recordings import wav
from steno.audio.decode import MediaInfo
from steno.backends.base import Finished
from steno.backends.scripted import ScriptedBackend
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.errors import AudioTooLongError, EmptyAudioError, NotAudioError
from steno.pipelines.file import FileOptions, FileTranscription, Recognized
from steno.pipelines.recording_reader import RecordingOpener, RecordingPiece, RecordingReaderSettings
from steno.types import SAMPLE_RATE, Hypothesis

pytestmark = pytest.mark.usefixtures("engine_kind")

PARALLEL = 3


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with new_engine(ScriptedBackend(slots=4, step_s=0), AdmissionLimits()) as engine:
        yield engine


async def transcribe(engine: Engine, source: Path | io.BytesIO, **settings: float) -> list[Recognized]:
    pieces = RecordingOpener(RecordingReaderSettings(**settings))
    async with engine.admit() as ticket:
        options = FileOptions(words=True)
        async with FileTranscription(pieces.open(source), ticket, options, parallel=lambda: PARALLEL) as run:
            return [part async for part in run.run()]


async def test_segments_come_in_order_numbered_and_on_the_recording_s_clock(engine: Engine, fixtures: Path) -> None:
    parts = await transcribe(engine, fixtures / "address.opus", max_piece_s=10)
    segments = [segment for part in parts for segment in part.segments]
    assert [segment.id for segment in segments] == list(range(len(segments)))
    starts = [word.start_s for segment in segments for word in segment.words]
    assert starts == sorted(starts)
    assert len(parts) >= 6
    ends = [part.end_s for part in parts]
    assert ends == sorted(ends)
    assert ends[-1] == pytest.approx(66.8, abs=0.5)


async def test_a_transcript_adds_up(engine: Engine, fixtures: Path) -> None:
    async with engine.admit() as ticket:
        pieces = RecordingOpener(RecordingReaderSettings()).open(fixtures / "address.opus")
        async with FileTranscription(pieces, ticket, FileOptions(language="en")) as run:
            transcript = await run.transcript()
    assert transcript.text == " ".join(segment.text for segment in transcript.segments)
    assert transcript.duration_s == pytest.approx(66.8, abs=0.5)
    assert transcript.language == "en"
    assert transcript.words == (), "words were not asked for"
    assert set(transcript.timings_s) == {"decode", "vad", "load", "wait", "recognize"}


async def test_a_recording_without_speech_gives_no_text_whatever_the_backend_would_write(engine: Engine) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 10 * SAMPLE_RATE).astype(np.float32)
    async with engine.admit() as ticket:
        pieces = RecordingOpener(RecordingReaderSettings()).open(io.BytesIO(wav(noise)))
        async with FileTranscription(pieces, ticket, FileOptions()) as run:
            transcript = await run.transcript()
    assert (transcript.text, transcript.segments, transcript.duration_s) == ("", (), 10.0)


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"hello, I am text", NotAudioError), (b"", EmptyAudioError), (wav(np.zeros(0, np.float32)), EmptyAudioError)],
)
async def test_unusable_audio_is_found_out_before_anything_is_answered(
    engine: Engine, content: bytes, error: type[Exception]
) -> None:
    async with engine.admit() as ticket:
        pieces = RecordingOpener(RecordingReaderSettings()).open(io.BytesIO(content))
        async with FileTranscription(pieces, ticket, FileOptions()) as run:
            with pytest.raises(error):
                await run.open()


async def test_a_recording_that_is_too_long_is_refused(engine: Engine, fixtures: Path) -> None:
    with pytest.raises(AudioTooLongError):
        await transcribe(engine, fixtures / "address.opus", max_audio_s=20)


async def test_a_few_samples_are_no_error(engine: Engine) -> None:
    parts = await transcribe(engine, io.BytesIO(wav(np.full(7, 0.1, np.float32))))
    assert [part.segments for part in parts] == [()]


class Counting(ScriptedBackend):
    """Knows how many pieces it held at once, and of how much audio. Begins when it has `PARALLEL` of them."""

    def __init__(self) -> None:
        super().__init__(slots=8, step_s=0.001)
        self.most_pieces = 0
        self.most_audio_s = 0.0
        self.full_at = math.inf

    def step(self) -> Sequence[Finished]:
        self.most_pieces = max(self.most_pieces, len(self.occupied))
        self.most_audio_s = max(self.most_audio_s, sum(len(slot.work.audio) for slot in self.occupied) / SAMPLE_RATE)
        if self.most_pieces >= PARALLEL:
            self.full_at = min(self.full_at, time.monotonic())
        if time.monotonic() > self.full_at + 0.2:  # so long, another would have come if it were let
            return super().step()
        time.sleep(0.001)
        return ()


async def test_as_many_pieces_are_under_way_as_may_be_and_no_more(fixtures: Path) -> None:
    backend = Counting()
    async with new_engine(backend, AdmissionLimits()) as engine, asyncio.timeout(30):
        await transcribe(engine, fixtures / "address.opus", max_piece_s=5)
    assert backend.most_pieces == PARALLEL
    assert 5 < backend.most_audio_s <= 5 * PARALLEL


class Failing(ScriptedBackend):
    """Fails on its third piece."""

    count = 0

    def admit(self, work: object) -> None:
        self.count += 1
        if self.count == 3:
            from steno.errors import BackendError

            raise BackendError("no more")
        super().admit(work)  # type: ignore[arg-type]


async def test_a_piece_that_fails_ends_the_run_after_what_was_given_out(fixtures: Path) -> None:
    from steno.errors import BackendError

    async with new_engine(Failing(slots=1, step_s=0), AdmissionLimits()) as engine, engine.admit() as ticket:
        pieces = RecordingOpener(RecordingReaderSettings(max_piece_s=8)).open(fixtures / "address.opus")
        given: list[Recognized] = []
        async with FileTranscription(pieces, ticket, FileOptions(), parallel=lambda: 1) as run:
            parts = run.run()
            given += [await anext(parts), await anext(parts)]
            with pytest.raises(BackendError, match="no more"):
                await anext(parts)
        assert len(given) == 2
        assert engine.status().running == 0


class Blocking(io.BytesIO):
    """A file whose reads wait until they are let go."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.reading, self.go = threading.Event(), threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        self.reading.set()
        self.go.wait(10)
        return super().read(size)


async def test_cancelling_waits_for_the_decoder_and_leaves_no_thread_in_it(engine: Engine, fixtures: Path) -> None:
    source = Blocking((fixtures / "letter.flac").read_bytes())
    async with engine.admit() as ticket:
        run = FileTranscription(RecordingOpener(RecordingReaderSettings()).open(source), ticket, FileOptions())
        opening = asyncio.create_task(run.open())
        await asyncio.to_thread(source.reading.wait, 10)
        opening.cancel()
        closing = asyncio.create_task(run.aclose())
        await asyncio.sleep(0.05)
        assert not closing.done()
        source.go.set()
        await asyncio.wait_for(closing, 10)
        assert opening.cancelled()


def heard(text: str, times: list[tuple[float, float]]) -> Hypothesis:
    from steno.types import Word

    words = tuple(Word(word, *time, 0.5) for word, time in zip(text.split(), times, strict=True))
    return Hypothesis(text, "en", words)


@pytest.mark.parametrize(
    ("text", "times", "expected"),
    [
        ("a b c", [(0, 1), (1, 2), (2.7, 9)], ["a b", "c"]),
        ("Yes. No", [(0, 1), (1, 2)], ["Yes.", "No"]),
        ("Mr. Brown came.", [(0, 1), (1, 2), (2, 3)], ["Mr. Brown came."]),
        ("one", [(0, 1)], ["one"]),
    ],
)
def test_segments_end_at_pauses_and_sentences(text: str, times: list[tuple[float, float]], expected: list[str]) -> None:
    from steno.pipelines.recording_reader import RecordingPiece
    from steno.pipelines.segments import segments_of

    piece = RecordingPiece(np.zeros(0, np.float32), 10.0, 13.5, None)
    segments = segments_of(heard(text, times), piece, 4)
    assert [segment.text for segment in segments] == expected
    assert segments[0].id == 4
    assert segments[0].start_s == 10.0
    assert segments[-1].end_s <= 13.5, "words do not leave their piece"


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("今天天气很好。我们走吧。", "今 天 天 气 很 好。 我 们 走 吧。", ["今天天气很好。", "我们走吧。"]),
        ("我用 GPU 算。 Fine then.", "我 用 GPU 算。 Fine then.", ["我用 GPU 算。", "Fine then."]),
        ("“Yes.”  No, no", "Yes. No no", ["“Yes.”", "No, no"]),
        ("something else", "other words. here", ["other words.", "here"]),
    ],
)
def test_segments_keep_the_spacing_and_punctuation_of_the_text(text: str, words: str, expected: list[str]) -> None:
    from steno.pipelines.recording_reader import RecordingPiece
    from steno.pipelines.segments import segments_of
    from steno.types import Word

    times = tuple(Word(word, float(n), n + 1.0) for n, word in enumerate(words.split()))
    piece = RecordingPiece(np.zeros(0, np.float32), 0.0, 20.0, None)
    segments = segments_of(Hypothesis(text, "zh", times), piece, 0)
    assert [segment.text for segment in segments] == expected


def test_texts_are_joined_as_their_scripts_want() -> None:
    from steno.captions.script import joined

    assert joined(["今天。", "我们走吧。"]) == "今天。我们走吧。"
    assert joined(["One.", "", "Two."]) == "One. Two."


def test_text_without_word_times_spans_the_speech_of_its_piece() -> None:
    from steno.pipelines.recording_reader import RecordingPiece
    from steno.pipelines.segments import segments_of

    piece = RecordingPiece(np.zeros(0, np.float32), 10.0, 20.0, (11.0, 19.0))
    (segment,) = segments_of(Hypothesis("hello", "en"), piece, 0)
    assert (segment.start_s, segment.end_s, segment.text) == (11.0, 19.0, "hello")
    assert segments_of(Hypothesis("", None), piece, 0) == ()


class HoursOfSpeech:
    """A reader of pieces of half a minute, which are there at once."""

    decode_s = vad_s = 0.0
    warnings: tuple[str, ...] = ()

    def __init__(self, hours: float) -> None:
        self._pieces = round(hours * 120)
        self._read = 0
        self.info = MediaInfo("wav", "pcm_s16le", SAMPLE_RATE, 1, 3600 * hours, is_exact=True)

    @property
    def duration_s(self) -> float:
        return 30.0 * self._read

    async def read(self) -> RecordingPiece | None:
        if self._read == self._pieces:
            return None
        self._read += 1
        start_s = 30.0 * (self._read - 1)
        audio = np.full(30 * SAMPLE_RATE, 0.1, np.float32)
        return RecordingPiece(audio, start_s, start_s + 30, (start_s, start_s + 30), 30.0)

    async def aclose(self) -> None: ...


@pytest.mark.parametrize(("hours", "fits"), [(0.3, True), (4.0, False)])
def test_a_recording_that_cannot_be_done_in_time_is_refused_soon_with_the_numbers(hours: float, fits: bool) -> None:
    """A piece takes as long as its audio, four of them at once; a request may take ten minutes."""

    async def main() -> tuple[float, str]:
        limits = AdmissionLimits(request_timeout_s=600)
        async with new_engine(SleepingBackend(workers=4), limits) as engine, engine.admit() as ticket:
            reader = HoursOfSpeech(hours)
            async with FileTranscription.on(engine, reader, ticket, FileOptions()) as run:  # type: ignore[arg-type]
                try:
                    return now(), str(len((await run.transcript()).segments))
                except AudioTooLongError as error:
                    return now(), error.message

    refused_s, message = virtually(main())
    assert fits is (message == "36")
    if not fits:
        assert refused_s < 70
        assert "14400 s long" in message
        assert "REQUEST_TIMEOUT" in message
