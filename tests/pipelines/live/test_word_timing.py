"""Words of live finals are timed beside recognition: it goes on, and what clients get stays in order."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from engine.engine_kinds import engine_kind, new_engine  # noqa: F401
from engine.virtual import run
from pipelines.live.stream_harness import WORKER_PREFIX, Listener, LiveOptions, OfflineBackend, live_of, pcm, speak
from steno.backends.aligners.base import Align, Alignment
from steno.backends.base import Progress, Recognize
from steno.engine.admission import AdmissionLimits
from steno.pipelines.file import FileOptions, FileTranscription
from steno.pipelines.live.held_events import HeldEvents
from steno.pipelines.recording_reader import RecordingPiece
from steno.streaming.events import AudioProgress, Final, Partial
from steno.types import SAMPLE_RATE, Hypothesis, Word

pytestmark = pytest.mark.usefixtures("engine_kind")

TALK = pcm(("speech", 3), ("silence", 1), ("speech", 3), ("silence", 1), ("speech", 3), ("silence", 1))


class SlowAligner:
    name = "slow"
    model_id = "an aligner"
    languages = frozenset({"en"})
    workers = 2
    live_workers = 1
    max_audio_s = 60.0

    def __init__(self, align_s: float, load_s: float = 0.0) -> None:
        self.align_s, self.load_s = align_s, load_s
        self.asked = 0

    async def load(self, progress: Progress) -> None:
        await asyncio.sleep(self.load_s)

    async def unload(self) -> None: ...

    async def align(self, work: Align) -> Alignment:
        self.asked += 1
        await asyncio.sleep(self.align_s)
        return Alignment(tuple(Word(text, 0.1 * n, 0.1 * n + 0.1) for n, text in enumerate(work.text.split())))


def talk(aligner: SlowAligner, words: bool = True) -> Listener:
    async def main() -> Listener:
        engine = new_engine(OfflineBackend(rtf=0.01), AdmissionLimits(), aligner=aligner)
        async with engine, live_of(engine).open("a", LiveOptions(words=words)) as stream:
            listener = Listener(stream)
            await speak(stream, TALK)
            await stream.finish()
            await asyncio.sleep(0)
        return listener

    return run(main())


def test_finals_have_the_aligner_s_times_on_the_stream_s_clock() -> None:
    finals = talk(SlowAligner(0.2)).finals
    assert [final.timing for final in finals] == ["accurate"] * 3
    for final in finals:
        assert [round(word.start_s - final.start_s, 3) for word in final.words[:3]] == [0.0, 0.1, 0.2]
        assert " ".join(word.text for word in final.words) == final.text


def test_recognition_does_not_wait_for_an_aligner_that_is_slow_or_hangs() -> None:
    alone = talk(SlowAligner(0.0), words=False)
    for align_s in (0.5, 2.0, 1e6):
        listener = talk(SlowAligner(align_s))
        assert [final.text for final in listener.finals] == [final.text for final in alone.finals]
        assert len(listener.partials) >= len(alone.partials) - 6, (
            "those behind a final are held, the newest of them stays"
        )
    assert [final.timing for final in listener.finals] == ["fast"] * 3


def test_an_aligner_that_hangs_is_waited_for_once() -> None:
    aligner = SlowAligner(1e6)
    listener = talk(aligner)
    assert aligner.asked == 1
    began = min(at for at, _ in listener.heard)
    lags = [at - began - event.end_s for at, event in listener.heard if isinstance(event, Final)]
    assert max(lags[1:]) < 1.0 < lags[0] < 4.0


def test_no_partial_of_a_later_segment_overtakes_a_final() -> None:
    order = [event for _, event in talk(SlowAligner(1.5)).heard if isinstance(event, Final | Partial)]
    assert [event.segment_id for event in order] == sorted(event.segment_id for event in order)


def test_finals_that_end_before_the_aligner_is_ready_say_that_their_times_are_guessed() -> None:
    finals = talk(SlowAligner(0.1, load_s=5.0)).finals
    assert [final.timing for final in finals] == ["fast", "accurate", "accurate"]
    assert all(len(final.words) == len(final.text.split()) for final in finals)


async def test_of_what_is_held_only_the_newest_partial_and_the_newest_heard_stay() -> None:
    passed: list[object] = []
    gate = asyncio.Event()

    async def aligned(final: Final) -> Final:
        await gate.wait()
        return final

    held = HeldEvents(lambda event, _: passed.append(event))
    final = Final(0, 0.0, 1.0, "w0", "endpoint")
    held.take(final, LiveOptions(), aligned(final))
    for n in range(20):
        held.take(Partial(1, 1.0, 2.0 + n, "", "w1"), LiveOptions())
        held.take(AudioProgress(2.0 + n), LiveOptions())
    assert held.waiting == 3
    gate.set()
    await held.done()
    assert passed == [final, Partial(1, 1.0, 21.0, "", "w1"), AudioProgress(21.0)]


class Contextual(OfflineBackend):
    """Knows how many finals of a stream it is given at once, and in which order they come."""

    def __init__(self, *, stream_context: bool) -> None:
        super().__init__(rtf=0.2, workers=4)
        self.capabilities = replace(self.capabilities, stream_context=stream_context)
        self.running = self.most = 0
        self.finals: list[str | None] = []

    async def recognize(self, work: Recognize) -> Hypothesis:
        if not work.final:
            return await super().recognize(work)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await super().recognize(work)
        finally:
            self.running -= 1
            self.finals.append((work.utterance or "").removeprefix(WORKER_PREFIX))


def burst(backend: Contextual) -> None:
    async def main() -> None:
        engine = new_engine(backend, AdmissionLimits())
        async with engine, live_of(engine).open("a", LiveOptions()) as stream:
            await asyncio.sleep(1)
            await stream.feed(
                pcm(("speech", 6), ("silence", 1), ("speech", 1), ("silence", 1), ("speech", 2), ("silence", 1))
            )
            await stream.finish()

    run(main())


def test_finals_of_a_stream_come_one_after_another_where_each_is_the_context_of_the_next() -> None:
    backend = Contextual(stream_context=True)
    burst(backend)
    assert (backend.most, backend.finals) == (1, ["a/0", "a/1", "a/2"])


def test_finals_of_other_backends_run_side_by_side() -> None:
    backend = Contextual(stream_context=False)
    burst(backend)
    assert backend.most > 1


class Doubtful(OfflineBackend):
    """As sure of its texts as Moonshine is of what it writes for noise."""

    def __init__(self) -> None:
        super().__init__(rtf=0.01)
        self.capabilities = replace(self.capabilities, noise_confidence=0.72)

    async def recognize(self, work: Recognize) -> Hypothesis:
        await super().recognize(work)
        return Hypothesis("Thank you for watching!", "en", confidence=0.6)


def test_a_click_that_the_vad_takes_for_speech_gives_no_text_and_a_sentence_does() -> None:
    async def main() -> list[str]:
        engine = new_engine(Doubtful(), AdmissionLimits())
        async with engine, live_of(engine).open("a", LiveOptions()) as stream:
            listener = Listener(stream)
            await speak(stream, pcm(("speech", 0.2), ("silence", 1), ("speech", 2), ("silence", 1)))
            await stream.finish()
            await asyncio.sleep(0)
        return [final.text for final in listener.finals]

    assert run(main()) == ["", "Thank you for watching!"]


def test_the_same_holds_for_the_pieces_of_a_recording() -> None:
    class Pieces:
        """A reader of two pieces: a click, and speech."""

        duration_s, decode_s, vad_s, info, warnings = 4.0, 0.0, 0.0, None, ()

        def __init__(self) -> None:
            audio = np.full(2 * SAMPLE_RATE, 0.5, np.float32)
            self._left = [
                RecordingPiece(audio, 0.0, 2.0, (0.5, 0.7), 0.2),
                RecordingPiece(audio, 2.0, 4.0, (2.0, 4.0), 2.0),
            ]

        async def read(self) -> RecordingPiece | None:
            return self._left.pop(0) if self._left else None

        async def aclose(self) -> None: ...

    async def main() -> list[float]:
        async with new_engine(Doubtful(), AdmissionLimits()) as engine, engine.admit() as ticket:
            reader = Pieces()
            async with FileTranscription.on(engine, reader, ticket, FileOptions()) as run:  # type: ignore[arg-type]
                return [segment.start_s for segment in (await run.transcript()).segments]

    assert run(main()) == [2.0]
