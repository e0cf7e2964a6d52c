"""Word times that come of aligning what was recognised."""

import time
from dataclasses import replace
from pathlib import Path

from steno.backends.base import Align, Finished, Progress, Result, Work
from steno.backends.scripted import ScriptedBackend
from steno.captions.cues import CueStyle
from steno.engine.engine import Engine
from steno.engine.gate import Limits
from steno.errors import BackendError, StenoError
from steno.pipelines.file import FileOptions, FileTranscription
from steno.pipelines.pieces import PieceSettings, PieceSource
from steno.pipelines.subtitle import subtitles_of, words_of
from steno.types import Hypothesis, Score, Transcript


class TwoStageBackend(ScriptedBackend):
    """Recognises without word times, says how sure it was, and aligns; or fails to, for the pieces that are named."""

    capabilities = replace(ScriptedBackend.capabilities, word_times=False)

    def __init__(self, fails: tuple[int, ...] = ()) -> None:
        super().__init__(step_s=0)
        self.aligned: list[str] = []
        self._fails = fails

    def admit(self, work: Work) -> None:
        if isinstance(work, Align):
            self.aligned.append(work.text)
            if len(self.aligned) - 1 in self._fails:
                raise BackendError("lost its way")
        super().admit(work)

    def step(self) -> list[Finished]:
        return [Finished(done.work, _without_times(done.outcome)) for done in super().step()]


def _without_times(outcome: Result | StenoError) -> Result | StenoError:
    if not isinstance(outcome, Hypothesis):
        return outcome
    return replace(outcome, words=(), scores=(Score(len(outcome.text), 0.25),))


async def transcribe(backend: ScriptedBackend, recording: Path, words: bool = True) -> Transcript:
    async with Engine(backend, Limits()) as engine, engine.admit() as ticket:
        reader = PieceSource(PieceSettings(max_piece_s=10)).open(recording)
        async with FileTranscription.on(engine, reader, ticket, FileOptions(words=words)) as run:
            return await run.transcript()


async def test_words_have_the_aligner_s_times_and_the_recogniser_s_confidence(fixtures: Path) -> None:
    backend = TwoStageBackend()
    transcript = await transcribe(backend, fixtures / "address.opus")
    assert [word.text for word in transcript.words] == transcript.text.split()
    assert {word.confidence for word in transcript.words} == {0.25}
    assert len(backend.aligned) > 5
    assert subtitles_of(transcript, CueStyle(), "accurate").timing.mode == "accurate"


async def test_nothing_is_aligned_where_nobody_wants_words(fixtures: Path) -> None:
    backend = TwoStageBackend()
    transcript = await transcribe(backend, fixtures / "address.opus", words=False)
    assert transcript.text
    assert not backend.aligned


async def test_a_piece_that_fails_is_guessed_and_the_result_says_so(fixtures: Path) -> None:
    backend = TwoStageBackend(fails=(1, 3))
    transcript = await transcribe(backend, fixtures / "address.opus")
    subtitles = subtitles_of(transcript, CueStyle(), "accurate")
    assert subtitles.timing.mode == "fast"
    assert (subtitles.timing.reason or "").startswith("2 of ")
    shown = " ".join(cue.text for cue in subtitles.cues).split()
    assert shown == transcript.text.split(), "no word is lost"


async def test_a_segment_without_times_still_has_its_words(fixtures: Path) -> None:
    transcript = await transcribe(TwoStageBackend(fails=(0,)), fixtures / "address.opus")
    assert len(transcript.words) < len(transcript.text.split())
    words = words_of(transcript.segments)
    assert [word.text for word in words] == transcript.text.split()
    assert {word.confidence for word in words} == {0.25}


class SlowAligner:
    """Needs longer to load than any request has."""

    model_id = "a large aligner"

    def load(self, progress: Progress) -> None:
        for n in range(600):
            progress(n / 600, "downloading")
            time.sleep(0.05)

    def unload(self) -> None:
        pass


class WaitingBackend(TwoStageBackend):
    aligner = SlowAligner()


async def test_text_is_not_lost_to_an_aligner_that_takes_too_long(fixtures: Path) -> None:
    began = time.monotonic()
    async with Engine(WaitingBackend(), Limits(request_timeout_s=6)) as engine, engine.admit() as ticket:
        reader = PieceSource(PieceSettings(max_piece_s=10)).open(fixtures / "address.opus")
        async with FileTranscription.on(engine, reader, ticket, FileOptions(words=True)) as run:
            transcript = await run.transcript()
    assert len(transcript.text.split()) > 100
    assert transcript.words == ()
    assert time.monotonic() - began < 25, "the engine does not wait for the load when it ends"
