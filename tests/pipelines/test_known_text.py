"""Known text timed line by line: the real recogniser and aligner, and each step of the chain behind them."""

from __future__ import annotations

import asyncio
import io
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recordings import wav
from running import EMBEDDED
from speech import TRANSCRIPTS
from steno import compose, settings
from steno.audio.decode import decode
from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.backends.aligners.base import Align, Alignment
from steno.backends.scripted import ScriptedBackend
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.local import local_engine
from steno.errors import BackendError, InvalidRequestError, NotAudioError, TextMismatchError
from steno.pipelines.known_text import KnownTextAlignment, KnownTextOptions, LineAlignment, sheet_lines
from steno.pipelines.recording_reader import RecordingOpener, RecordingReaderSettings
from steno.types import SAMPLE_RATE, Word

CHORUS, FIRST, SECOND = "weather.flac", "market.flac", "doctor.flac"
SUNG = (FIRST, CHORUS, SECOND, CHORUS)
MARGIN_S = 0.25
"""Silence around the speech of each fixture."""
SHEET = f"""[Verse 1]
{TRANSCRIPTS[FIRST]}

[Chorus]
{TRANSCRIPTS[CHORUS]}

[Verse 2]
{TRANSCRIPTS[SECOND]}
The moon is made of cheese and nobody is singing this
"""


@pytest.fixture(scope="module")
def song(fixtures: Path) -> tuple[bytes, list[float]]:
    """Four sentences with breaks of 1.5 s, and when each begins."""
    parts: list[NDArray[np.float32]] = []
    starts: list[float] = []
    for name in SUNG:
        starts.append(sum(map(len, parts)) / SAMPLE_RATE + MARGIN_S)
        parts += [np.concatenate(list(decode(fixtures / name, max_seconds=None))), np.zeros(24_000, np.float32)]
    return wav(np.concatenate(parts)), starts


async def aligned(
    engine: Engine, recording: bytes, text: str, options: KnownTextOptions | None = None, max_s: float = 30.0
) -> LineAlignment:
    opener = RecordingOpener(RecordingReaderSettings(max_piece_s=10))
    try:
        async with (
            engine,
            engine.admit() as ticket,
            KnownTextAlignment(
                engine, opener, io.BytesIO(recording), sheet_lines(text), ticket, options or KnownTextOptions(), max_s
            ) as alignment,
        ):
            return await alignment.run()
    finally:
        await opener.aclose()


def embedded(**overrides: object) -> Engine:
    return compose.engine_of(settings.load(asr_backend=EMBEDDED, **overrides))


@pytest.mark.slow
async def test_a_chorus_written_once_is_timed_each_time_it_is_sung(song: tuple[bytes, list[float]]) -> None:
    recording, starts = song
    done = await aligned(embedded(aligner="sphinx"), recording, SHEET, KnownTextOptions("en"))
    found = [line for line in done.lines if line.status == "found"]
    assert [(line.section, line.repeat) for line in found] == [
        ("Verse 1", 1), ("Chorus", 1), ("Verse 2", 1), ("Chorus", 2),
    ]  # fmt: skip
    assert [line.start_s for line in found] == pytest.approx(starts, abs=0.15)
    assert [line.number for line in done.lines if line.status == "not_found"] == [9]
    assert (done.method, done.match_ratio > 0.9, done.language) == ("forced_alignment", True, "en")
    assert done.audio_s == pytest.approx(len(recording) / 2 / SAMPLE_RATE, abs=0.1)
    assert {"decode", "recognize", "align", "match", "align_lines"} <= done.timings_s.keys()
    for one, other in itertools.pairwise(found):
        assert other.start_s - one.end_s > 1.0, "breaks stay empty"
    words = [word for line in found for word in line.words]
    assert [word.text for word in words] == " ".join(TRANSCRIPTS[name] for name in SUNG).split()
    assert all(one.end_s <= other.start_s for one, other in itertools.pairwise(words))


async def test_without_an_aligner_lines_have_the_times_of_recognised_words(song: tuple[bytes, list[float]]) -> None:
    recording, starts = song
    done = await aligned(embedded(aligner="none"), recording, SHEET, KnownTextOptions("en"))
    assert done.method == "recognized_words"
    assert "there is no aligner (ALIGNER); lines have the times of recognised words" in done.warnings
    found = [line.start_s for line in done.lines if line.start_s is not None]
    assert found == pytest.approx(starts, abs=1.0)


class SpreadingAligner:
    """Spreads the words over the audio; fails for texts that begin with `fails`."""

    name, model_id = "spreading", "an aligner"
    languages = frozenset({"en"})
    workers, live_workers, max_audio_s = 2, 0, 60.0

    def __init__(self, fails: str = "nothing") -> None:
        self.aligned: list[tuple[str, float]] = []
        self._fails = fails

    async def load(self, progress: object) -> None: ...

    async def unload(self) -> None: ...

    async def align(self, work: Align) -> Alignment:
        self.aligned.append((work.text, len(work.audio) / SAMPLE_RATE))
        if work.text.startswith(self._fails):
            raise BackendError("lost its way")
        texts, seconds = work.text.split(), len(work.audio) / SAMPLE_RATE - 0.6
        each_s = seconds / len(texts)
        return Alignment(tuple(Word(text, 0.3 + n * each_s, 0.3 + (n + 1) * each_s) for n, text in enumerate(texts)))


def scripted(aligner: SpreadingAligner | None = None) -> Engine:
    """Says `w0 w1 w2 …`, two words a second, again and again in pieces of 10 s."""
    return local_engine(ScriptedBackend(step_s=0), AdmissionLimits(), aligner=aligner)


@pytest.fixture(scope="module")
def talk(fixtures: Path) -> bytes:
    """24 s of speech: three pieces for the recogniser."""
    sentence = np.concatenate(list(decode(fixtures / FIRST, max_seconds=None)))
    return wav(np.tile(sentence, 5)[: 24 * SAMPLE_RATE])


def counted(*ranges: range) -> str:
    return "\n".join(" ".join(f"w{n}" for n in own) for own in ranges)


async def test_a_stretch_that_fails_has_the_times_of_recognised_words(talk: bytes) -> None:
    aligner = SpreadingAligner(fails="w3")  # the recogniser's pieces begin with w0
    done = await aligned(scripted(aligner), talk, counted(range(3, 7), range(8, 12)))
    assert done.method == "forced_alignment"
    stretches = [text for text, _ in aligner.aligned if not text.startswith("w0")]
    failed = [text for text in stretches if text.startswith("w3")]
    assert 0 < len(failed) < len(stretches)
    assert done.warnings == (
        f"{len(failed)} of {len(stretches)} stretches have the times of recognised words: lost its way",
    )
    assert all(one.end_s <= other.start_s for one, other in itertools.pairwise(done.lines))


async def test_a_language_that_the_aligner_lacks_is_a_warning(talk: bytes) -> None:
    done = await aligned(scripted(SpreadingAligner()), talk, counted(range(3, 12)), KnownTextOptions("de"))
    assert done.method == "recognized_words"
    assert "aligner 'spreading' does not support the language 'de'" in done.warnings[0]


async def test_no_stretch_is_longer_than_allowed(talk: bytes) -> None:
    aligner = SpreadingAligner()
    await aligned(scripted(aligner), talk, counted(range(19)), max_s=5.0)
    stretches_s = [seconds for text, seconds in aligner.aligned if len(text.split()) < 10]
    assert len(stretches_s) > 2
    assert max(stretches_s) <= 5.0


async def test_another_text_is_refused_unless_it_is_forced(talk: bytes) -> None:
    text = "And did those feet in ancient time\nWalk upon mountains green"
    with pytest.raises(TextMismatchError, match="0% of it was found"):
        await aligned(scripted(), talk, text)
    done = await aligned(scripted(), talk, text, KnownTextOptions(force=True))
    assert done.method == "even"
    assert [line.status for line in done.lines] == ["estimated", "estimated"]
    assert 0 <= done.lines[0].start_s < done.lines[0].end_s <= done.lines[1].start_s < done.lines[1].end_s <= 24.0
    assert "the lines are spread evenly over the speech" in done.warnings[0]


async def test_repeats_may_be_only_those_that_are_written(talk: bytes) -> None:
    sheet = counted(range(2, 9))
    auto = await aligned(scripted(), talk, sheet)
    assert [line.repeat for line in auto.lines] == [1, 2, 3, 4]
    written = await aligned(scripted(), talk, sheet, KnownTextOptions(repeats="as_written"))
    assert [line.repeat for line in written.lines] == [1]


async def test_progress_is_reported_by_step(talk: bytes) -> None:
    engine, opener = scripted(SpreadingAligner()), RecordingOpener(RecordingReaderSettings(max_piece_s=10))
    reported: list[tuple[str, float]] = []
    lines = sheet_lines(counted(range(2, 9)))
    async with engine, engine.admit() as ticket:
        recording = io.BytesIO(talk)
        async with KnownTextAlignment(engine, opener, recording, lines, ticket, KnownTextOptions(), 30.0) as alignment:
            await alignment.run(lambda step, part: reported.append((step, part)))
    await opener.aclose()
    assert reported == sorted(reported, key=lambda one: (one[0] == "align", one[1]))
    assert reported[-1] == ("align", 1.0)
    assert ("recognize", 1.0) in reported


async def test_leaving_it_stops_all_work(talk: bytes) -> None:
    class Endless(SpreadingAligner):
        cancelled = 0

        async def align(self, work: Align) -> Alignment:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            raise AssertionError

    aligner = Endless()
    engine, opener = scripted(aligner), RecordingOpener(RecordingReaderSettings(max_piece_s=10), DecoderPool(1))
    lines = sheet_lines(counted(range(2, 9)))
    async with engine:
        with pytest.raises(TimeoutError):
            async with (
                asyncio.timeout(2),
                engine.admit() as ticket,
                KnownTextAlignment(
                    engine, opener, io.BytesIO(talk), lines, ticket, KnownTextOptions(), 30.0
                ) as alignment,
            ):
                await alignment.run()
        await asyncio.sleep(0.1)
        assert aligner.cancelled == 2
        assert not opener.resources.free.locked(), "the decoder is free again"
    await opener.aclose()


async def test_what_cannot_be_read_is_an_error_of_the_audio() -> None:
    with pytest.raises(NotAudioError):
        await aligned(scripted(), b"no audio in here", "some text")


@pytest.mark.parametrize("text", ["", "\n\n", "[Chorus]\n(x2)", "♪ – ♪"])
def test_a_text_without_words_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="no line that can be said"):
        sheet_lines(text)


def test_a_text_with_too_many_lines_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="the maximum is 20000"):
        sheet_lines("a\n" * 20_001)


async def test_a_recogniser_without_word_times_is_a_warning(talk: bytes) -> None:
    class WithoutTimes(ScriptedBackend):
        capabilities = replace(ScriptedBackend.capabilities, word_times=False)

        def step(self) -> list[object]:  # type: ignore[override]
            return [replace(done, outcome=replace(done.outcome, words=())) for done in super().step()]  # type: ignore[type-var]

    done = await aligned(local_engine(WithoutTimes(step_s=0), AdmissionLimits()), talk, counted(range(2, 9)))
    assert any("no word times from the recogniser" in warning for warning in done.warnings)
    assert done.method == "recognized_words"
