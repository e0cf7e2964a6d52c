"""Word times that come of aligning what was recognised."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.engine_kinds import engine_kind, new_engine  # noqa: F401
from steno.backends.aligners.base import Align, Alignment
from steno.backends.base import Finished, Progress
from steno.backends.scripted import ScriptedBackend
from steno.captions.cues import CueStyle
from steno.engine.admission import AdmissionLimits
from steno.errors import BackendError, StenoError, UnsupportedLanguageError
from steno.pipelines.file import FileOptions, FileTranscription
from steno.pipelines.recording_reader import RecordingOpener, RecordingReaderSettings
from steno.pipelines.subtitle import subtitles_of, words_of
from steno.types import SAMPLE_RATE, Hypothesis, Score, Transcript, Word

pytestmark = pytest.mark.usefixtures("engine_kind")


class WithoutTimes(ScriptedBackend):
    """Recognises without word times, and says how sure it was."""

    capabilities = replace(ScriptedBackend.capabilities, word_times=False, languages=frozenset({"en", "de"}))

    def __init__(self, language: str = "en") -> None:
        super().__init__(step_s=0)
        self._language = language

    def step(self) -> list[Finished]:
        return [Finished(done.work, self._without_times(done.outcome)) for done in super().step()]

    def _without_times(self, outcome: Hypothesis | StenoError) -> Hypothesis | StenoError:
        if not isinstance(outcome, Hypothesis):
            return outcome
        return replace(outcome, words=(), scores=(Score(len(outcome.text), 0.25),), language=self._language)


class SpreadingAligner:
    """Spreads the words over the audio, or fails, for the pieces that are named."""

    name = "spreading"
    model_id = "an aligner"
    languages = frozenset({"en"})
    workers = 1
    live_workers = 0
    max_audio_s = 60.0

    def __init__(self, fails: tuple[int, ...] = (), load_s: float = 0.0) -> None:
        self.aligned: list[str] = []
        self._fails = fails
        self._load_s = load_s

    async def load(self, progress: Progress) -> None:
        progress(0.5, "downloading")
        await asyncio.sleep(self._load_s)

    async def unload(self) -> None: ...

    async def align(self, work: Align) -> Alignment:
        self.aligned.append(work.text)
        if len(self.aligned) - 1 in self._fails:
            raise BackendError("lost its way")
        texts = work.text.split()
        each_s = len(work.audio) / SAMPLE_RATE / max(len(texts), 1)
        return Alignment(tuple(Word(text, n * each_s, (n + 1) * each_s) for n, text in enumerate(texts)))


async def transcribe(
    aligner: SpreadingAligner,
    recording: Path,
    words: bool = True,
    language: str = "en",
    limits: AdmissionLimits | None = None,
) -> Transcript:
    engine = new_engine(WithoutTimes(language), limits or AdmissionLimits(), aligner=aligner)
    async with engine, engine.admit() as ticket:
        reader = RecordingOpener(RecordingReaderSettings(max_piece_s=10)).open(recording)
        async with FileTranscription.on(engine, reader, ticket, FileOptions(words=words)) as run:
            return await run.transcript()


async def test_words_have_the_aligner_s_times_and_the_recogniser_s_confidence(fixtures: Path) -> None:
    aligner = SpreadingAligner()
    transcript = await transcribe(aligner, fixtures / "address.opus")
    assert [word.text for word in transcript.words] == transcript.text.split()
    assert {word.confidence for word in transcript.words} == {0.25}
    assert len(aligner.aligned) > 5
    assert subtitles_of(transcript, CueStyle(), "accurate").timing.mode == "accurate"


async def test_nothing_is_aligned_where_nobody_wants_words(fixtures: Path) -> None:
    aligner = SpreadingAligner()
    transcript = await transcribe(aligner, fixtures / "address.opus", words=False)
    assert transcript.text
    assert not aligner.aligned


async def test_a_piece_that_fails_is_guessed_and_the_result_says_so(fixtures: Path) -> None:
    aligner = SpreadingAligner(fails=(1, 3))
    transcript = await transcribe(aligner, fixtures / "address.opus")
    subtitles = subtitles_of(transcript, CueStyle(), "accurate")
    assert subtitles.timing.mode == "fast"
    assert (subtitles.timing.reason or "").startswith("2 of ")
    shown = " ".join(cue.text for cue in subtitles.cues).split()
    assert shown == transcript.text.split(), "no word is lost"


async def test_a_segment_without_times_still_has_its_words(fixtures: Path) -> None:
    transcript = await transcribe(SpreadingAligner(fails=(0,)), fixtures / "address.opus")
    assert len(transcript.words) < len(transcript.text.split())
    words = words_of(transcript.segments)
    assert [word.text for word in words] == transcript.text.split()
    assert {word.confidence for word in words} == {0.25}


async def test_a_language_that_the_aligner_does_not_speak_is_guessed(fixtures: Path) -> None:
    class Refusing(SpreadingAligner):
        async def align(self, work: Align) -> Alignment:
            if work.language not in self.languages:
                raise UnsupportedLanguageError("speaks en only")
            return await super().align(work)

    transcript = await transcribe(Refusing(), fixtures / "address.opus", language="de")
    assert transcript.words == ()
    assert subtitles_of(transcript, CueStyle(), "accurate").timing.mode == "fast"


async def test_text_is_not_lost_to_an_aligner_that_takes_too_long_to_load(fixtures: Path) -> None:
    began = time.monotonic()
    aligner = SpreadingAligner(load_s=30.0)
    transcript = await transcribe(aligner, fixtures / "address.opus", limits=AdmissionLimits(request_timeout_s=6))
    assert len(transcript.text.split()) > 100
    assert transcript.words == ()
    assert time.monotonic() - began < 25, "the engine does not wait for the load when it ends"
