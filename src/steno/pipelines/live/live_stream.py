"""A live stream. It connects three parts that are independent of each other:

    bytes → Intake (decode, resample) → Session (sans-IO) → VadStage (VAD, batched over all streams) → Session
    Session → steps → engine → hypotheses → Session → events → Outbox
    Session → pauses → TurnStage (turn detection, if asked for) → Session
    frames, probabilities → SpeakerStage (speakers, if asked for) → finals

Feeding is back-pressured while recognition is far behind or the events are not read, so that memory stays bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from loguru import logger

from steno.backends.base import Recognize
from steno.engine.queue import Priority
from steno.engine.ticket import Ticket
from steno.errors import AudioError, BackendError, RetryableError, StenoError, SupersededError
from steno.pipelines.live.final_details import FinalDetails
from steno.pipelines.live.finals import Finals
from steno.pipelines.live.held_events import HeldEvents
from steno.pipelines.live.lag import LagWatch
from steno.pipelines.live.live_context import LiveContext, intake_of, turns_of
from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.model_loading import until_loaded
from steno.pipelines.live.notices import Failed, SpeakersChanged
from steno.pipelines.live.outbox import Outbox
from steno.pipelines.live.pause_judge import PauseJudge
from steno.pipelines.live.silence_watch import SilenceWatch
from steno.pipelines.live.step_tasks import StepTasks
from steno.pipelines.noise import without_noise
from steno.streaming.events import Event, Final, Partial, SpeechEnded
from steno.streaming.session import Session
from steno.streaming.step_request import StepRequest
from steno.types import Hypothesis

if TYPE_CHECKING:
    from steno.types import Audio

MAX_STEP_S = 2.0
"""Max interval of partials, reached under load."""
MAX_BEHIND_S = 60.0
"""Max audio without text; beyond it the client is back-pressured."""
MAX_WAITING = 64
"""Max segments, silences and empty finals that wait behind one in recognition; beyond it the client is
back-pressured. It is reached by a client that flushes repeatedly."""
PARTIAL_TIMEOUT_S = 10.0
"""Time limit of a partial. A final has the engine's request timeout."""
SPECULATION_S = 0.5
"""Finals are recognised in advance only while partials take less than this: under load every step counts."""
QUIET_S = 1.0
"""A client that sent no audio for this long has stopped speaking."""


class LiveStream:
    """Made by `LiveService.open`. One task calls `feed`, `flush`, `reset`, `configure` and `finish`, in the order of
    the client's messages; another task reads the `outbox`."""

    def __init__(self, context: LiveContext, ticket: Ticket, name: str, options: LiveOptions) -> None:
        self._context = context
        self._ticket = ticket
        self._name = name
        self._options = options
        self._intake = intake_of(options, context.decoders)
        self._session = Session(context.session_config(options))
        self._vad_stream = context.vad_stage.open_stream()
        self.outbox = Outbox()
        self._finals = Finals(self._emit, context.style, context.translator)
        self._details = FinalDetails(ticket, context.speaker_stage, self._change_speakers)
        self._held = HeldEvents(self._forward)
        self._due_at: dict[int, float] = {}
        """Event loop time at which a segment's final was due."""
        self._finals_in_order = asyncio.Lock()
        self._steps = StepTasks(self._session, lambda segment_id: context.engine.forget(self._key(segment_id)))
        self._pauses = PauseJudge(context.turn_stage, self._steps, self._session, context.engine.capabilities)
        self._progress = asyncio.Event()
        self._turnaround_s = 0.0
        self._lag = LagWatch()
        self._silence = SilenceWatch(self._silence_s, self._assume_silence)
        self._is_loaded = False
        self.finals = 0
        """Number of finals so far."""
        self._loading = asyncio.create_task(self._load(), name="live load")
        self._prepare()

    @property
    def audio_s(self) -> float:
        """Seconds of audio received."""
        return self._session.received_s

    async def feed(self, data: bytes) -> None:
        """Take audio in the options' encoding. Data that cannot be decoded is skipped and reported by `Failed`."""
        with self._taking():
            try:
                async for audio in self._intake.feed(data):
                    await self._detect_speech(audio)
            except (AudioError, RetryableError) as error:
                self.outbox.put(Failed(error))

    async def flush(self) -> None:
        """End the segment here. A `Final` with the reason `flush` will be emitted."""
        with self._taking():
            await self._detect_speech(await self._intake.flush())
            self._take(self._session.flush())

    async def reset(self) -> None:
        """Discard the open segment."""
        with self._taking():
            await self._detect_speech(await self._intake.flush())
            self._details.discard(self._options.offset_s + self.audio_s)
            dropped = self._session.open_segment
            self._take(self._session.reset())
        if dropped is not None:
            self._steps.release_ended(dropped)
        self._context.engine.forget(self._name)  # text before the reset is no context for what follows

    async def configure(self, options: LiveOptions) -> None:
        """Use other options, already validated, from here on."""
        with self._taking():
            before, self._options = self._options, replace(options, offset_s=self._options.offset_s)
            if (before.encoding, before.sample_rate) != (options.encoding, options.sample_rate):
                await self._detect_speech(await self._intake.flush())
                await self._intake.aclose()
                self._intake = intake_of(options, self._context.decoders)
            await self._details.stop_unwanted(self._options)
            self._prepare()
            self._take(self._session.configure(self._context.session_config(self._options)))

    async def finish(self) -> None:
        """End the audio. Returns once all events have been emitted."""
        self._silence.close()
        await self._detect_speech(await self._intake.flush())
        self._take(self._session.finish())
        while not self._session.settled:
            await self._wait_for_progress()
        await self._held.done()
        if self._options.speaker_updates:
            await self._details.answered()
        await self._finals.done()

    async def utterance_over(self) -> None:
        """Return once no segment is open, or the client has stopped sending audio."""
        clock = asyncio.get_running_loop().time
        since, received_s = clock(), self.audio_s
        while self._session.open_segment is not None and clock() - since < QUIET_S:
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET_S):
                    await self._wait_for_progress()
            if self.audio_s > received_s:
                since, received_s = clock(), self.audio_s

    async def aclose(self) -> None:
        """Cancel all work and close the stream. Idempotent."""
        self._silence.close()
        self._loading.cancel()
        try:
            await asyncio.wait([self._loading])
            await self._steps.aclose()
            self._pauses.close()
            self._vad_stream.close()
            await self._held.aclose()
            await self._details.aclose()
            await self._finals.aclose()
            await self._intake.aclose()
        finally:
            self._steps.release_all()
            self._context.engine.forget(self._name)
            self.outbox.close()

    async def _detect_speech(self, audio: Audio) -> None:
        await self.outbox.room()
        while self._is_far_behind:
            await self._wait_for_progress()
        frames = self._session.feed(audio)
        probabilities, levels = await self._vad_stream.detect(frames)
        if self._details.hears_speakers:
            await self._details.hear(frames, probabilities, self._session.framed)
        self._take(self._session.observe(probabilities, levels))
        self._pauses.begin(self._session.begun_pause)
        while (pause := self._session.pause) is not None:
            threshold = self._turns.threshold
            self._take(self._session.judge(await self._pauses.judge(pause, threshold), threshold))

    @contextmanager
    def _taking(self) -> Iterator[None]:
        """While something of the client's is taken, what it does not send says nothing."""
        self._silence.hold()
        before_s = self.audio_s
        yield
        if self._context.settings.assume_silence:
            self._silence.listen(self.audio_s - before_s)

    def _silence_s(self) -> float:
        own_ms, settings = self._options.silence_ms, self._context.settings
        silence_ms = settings.segmenter.silence_ms if own_ms is None else own_ms
        return (max(silence_ms, self._turns.max_silence_ms) if self._turns.detection == "smart" else silence_ms) / 1000

    def _assume_silence(self, seconds: float) -> None:
        if self._options.endpointing:
            self._take(self._session.assume_silence(seconds))

    @property
    def _is_far_behind(self) -> bool:
        waiting = self._session.waiting + self._held.waiting + self._finals.waiting
        return self._session.behind_s > MAX_BEHIND_S or waiting > MAX_WAITING

    def _emit(self, event: Event | SpeakersChanged) -> None:
        self.outbox.put(event)
        self._progress.set()

    def _take(self, events: Iterable[Event]) -> None:
        """Emit events, and start the steps that are due."""
        for event in events:
            completion = self._details.take(event, self._options)
            if isinstance(event, Final):
                self.finals += 1
                self._steps.release_ended(event.segment_id)
            elif isinstance(event, SpeechEnded):
                self._due_at[event.segment_id] = asyncio.get_running_loop().time()
            self._held.take(event, self._options, completion)
        self._steps.cancel_unwanted()
        if self._is_loaded:
            for step in self._session.due(self._step_s(), speculates=self._turnaround_s < SPECULATION_S):
                self._steps.start(step, self._recognise(step))
            now, behind_s = asyncio.get_running_loop().time(), self._session.behind_s
            if lagging := self._lag.check(now, self._session.received_s, behind_s):
                self.outbox.put(lagging)
        self._progress.set()

    def _step_s(self) -> float:
        return min(max(self._context.settings.step_s, self._turnaround_s), MAX_STEP_S)

    async def _wait_for_progress(self) -> None:
        self._progress.clear()
        await self._progress.wait()

    async def _load(self) -> None:
        """Wait for the model. If it cannot be loaded, each final retries and reports the error."""
        has_waited = await until_loaded(self._ticket, self.outbox.put)
        self._is_loaded = True
        if has_waited:
            self._lag.restart(asyncio.get_running_loop().time())
        self._take([])

    async def _recognise(self, step: StepRequest) -> None:
        """Recognise a step. This is a task's outermost boundary: every error is logged and emitted."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        events: list[Event] = []
        try:
            events = await self._apply(step)
        except SupersededError:
            pass
        except StenoError as error:
            logger.log("WARNING" if step.final else "DEBUG", "{} was not recognised: {}", step.what, error.message)
            events = self._session.fail(step, error)
        except Exception as error:  # noqa: BLE001
            logger.opt(exception=error).error("a live step failed: {}", error)
            events = self._session.fail(step, BackendError("recognition failed; the server's log has the reason"))
        lag_s = loop.time() - began
        if events and not step.final:
            self._turnaround_s = lag_s
        self._measure_partials(events, lag_s)
        self._take(events)

    async def _apply(self, step: StepRequest) -> list[Event]:
        options = self._options
        wants_words = self._wants_words
        work = Recognize(
            step.audio,
            options.language,
            options.context,
            wants_words,
            self._key(step.segment_id),
            step.final,
            self._name,
            step.stable,
        )
        if step.final:
            if not step.speculative:
                self._due_at[step.segment_id] = asyncio.get_running_loop().time()
            hypothesis = self._without_noise(await self._recognise_final(work), step)
            if wants_words and hypothesis.text and self._context.engine.aligns(hypothesis.language):
                self._details.align(step.segment_id, step.audio)
        else:
            hypothesis = await self._ticket.recognize(work, Priority.LIVE_PARTIAL, PARTIAL_TIMEOUT_S)
            hypothesis = self._without_noise(hypothesis, step)
        return self._session.apply(step, hypothesis)

    async def _recognise_final(self, work: Recognize) -> Hypothesis:
        """Recognise a final. Finals run one at a time if the backend uses earlier ones as context."""
        if not self._context.engine.capabilities.stream_context:
            return await self._ticket.recognize(work, Priority.LIVE_FINAL)
        async with self._finals_in_order:
            return await self._ticket.recognize(work, Priority.LIVE_FINAL)

    def _forward(self, event: Event | SpeakersChanged, options: LiveOptions) -> None:
        """Forward an event whose turn it is."""
        if isinstance(event, Final):
            self._measure_final(event)
            self._finals.take(event, options)
        elif isinstance(event, SpeakersChanged):
            self._finals.take_after(event)
        else:
            self.outbox.put(event)
        self._progress.set()

    def _change_speakers(self, speakers: Mapping[int, str]) -> None:
        self._held.take(SpeakersChanged(speakers), self._options)

    def _without_noise(self, hypothesis: Hypothesis, step: StepRequest) -> Hypothesis:
        if step.stable:
            return hypothesis
        return without_noise(hypothesis, step.speech_s, self._context.engine.capabilities.noise_confidence)

    @property
    def _wants_words(self) -> bool:
        return self._options.words or self._options.captions is not None

    def _prepare(self) -> None:
        """Start loading what the options need, and decide how turns end. After each change of the options."""
        self._turns = turns_of(self._options, self._context.settings)
        self._details.prepare(self._options, self._context.settings.segmenter.threshold)
        if self._turns.detection == "smart":
            self._context.turn_stage.prepare()
        if self._wants_words and self._context.engine.aligns(self._options.language):
            self._ticket.prepare_aligner()

    def _measure_partials(self, events: Iterable[Event], lag_s: float) -> None:
        telemetry = self._context.telemetry
        if telemetry is not None and any(isinstance(event, Partial) for event in events):
            telemetry.emitted("partial", lag_s)

    def _measure_final(self, final: Final) -> None:
        due_at = self._due_at.pop(final.segment_id, None)
        telemetry = self._context.telemetry
        if telemetry is None or due_at is None:
            return
        telemetry.emitted("final", asyncio.get_running_loop().time() - due_at)
        if final.diverged:
            telemetry.diverged()

    def _key(self, segment_id: int) -> str:
        return f"{self._name}/{segment_id}"
