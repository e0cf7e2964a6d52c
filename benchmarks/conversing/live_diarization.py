"""A conversation as a live stream: the real stages, and a recogniser that takes no time; faster than real time, but no
label is told with the knowledge of later audio than it is in real time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.conversing.conversations import Conversation
from steno.audio.pcm import to_s16le
from steno.backends.scripted import ScriptedBackend
from steno.captions.cues import CueStyle
from steno.engine.admission import AdmissionLimits
from steno.engine.local import local_engine
from steno.pipelines.live.live_context import LiveContext, LiveSettings
from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.live_stream import LiveStream
from steno.pipelines.live.notices import SpeakersChanged
from steno.pipelines.live.service import LiveService
from steno.pipelines.live.speaker_stage import OnChanges, SpeakerStage, SpeakerStream
from steno.pipelines.live.vad_stage import VadStage
from steno.speakers.diarizer import Diarization
from steno.speakers.embedder import SpeakerEmbedder
from steno.speakers.speaker_turns import SpeakerTurn
from steno.speakers.voice_clusters import SpeakerCount
from steno.streaming.events import Final
from steno.types import SAMPLE_RATE

FRAME_S = 0.1
TIMEOUT_S = 60.0
"""How long a final waits for its speakers. The audio comes faster than real time: with the server's 1 s, a busy machine
would lose labels that it tells in real time."""


@dataclass
class LiveDiarization:
    """What a client was told of a conversation."""

    turns: dict[int, Diarization] = field(default_factory=dict)
    """By segment, as its final told them."""
    finals: list[Final] = field(default_factory=list)
    updates: dict[int, str] = field(default_factory=dict)
    """The last label of each segment that was told anew."""
    waits_s: list[float] = field(default_factory=list)
    """How long finals waited for their speakers."""
    late: int = 0

    def speakers_labelled(self, outcome: str, waited_s: float) -> None:
        self.waits_s.append(waited_s)
        self.late += outcome == "late"

    @property
    def changed(self) -> int:
        """Segments that were told in more than one final, or with another speaker than their turns had."""
        twice = len(self.finals) - len({final.segment_id for final in self.finals})
        other = sum(
            final.speaker != self.turns[final.segment_id].main_speaker
            for final in self.finals
            if final.segment_id in self.turns
        )
        return twice + other

    def told(self) -> Diarization:
        """The turns as finals told them."""
        return _joined(self.turns)

    def revised(self) -> Diarization:
        """The turns with the updates: an update gives a segment one speaker."""
        return _joined(
            {
                number: replace(found, names=(self.updates[number],) * len(found.names))
                if number in self.updates
                else found
                for number, found in self.turns.items()
            }
        )


class _ToldStream(SpeakerStream):
    told: LiveDiarization

    async def hear(self, frames: NDArray[np.float32], voiced: NDArray[np.bool_], end: int) -> None:
        """As in real time on a free machine: what was heard before is embedded, and the questions are answered."""
        await self.answered()
        await super().hear(frames, voiced, end)

    async def label(self, segment_id: int, start_s: float, end_s: float) -> Diarization | None:
        found = await super().label(segment_id, start_s, end_s)
        if found is not None:
            self.told.turns[segment_id] = found
        return found


class _ToldStage(SpeakerStage):
    """Keeps the turns of the labels, which dialects give to words."""

    def __init__(self, told: LiveDiarization, embedder: SpeakerEmbedder) -> None:
        super().__init__(told, lambda: embedder, timeout_s=TIMEOUT_S)
        self._told = told

    def open_stream(self, count: SpeakerCount, offset_s: float, on_changes: OnChanges | None) -> SpeakerStream:
        super().open_stream(count, offset_s, on_changes)  # starts loading
        stream = _ToldStream(self, count, offset_s, on_changes)
        stream.told = self._told
        return stream


async def live_diarization(made: Conversation, embedder: SpeakerEmbedder, number: int | None) -> LiveDiarization:
    """`number`: of speakers, if it is told."""
    told = LiveDiarization()
    engine = local_engine(ScriptedBackend(step_s=0.0), AdmissionLimits())
    context = LiveContext(engine, VadStage(), LiveSettings(), CueStyle(), speaker_stage=_ToldStage(told, embedder))
    service = LiveService(context)
    options = service.check(LiveOptions(diarize=True, num_speakers=number, speaker_updates=True))
    try:
        async with engine, service.open("conversation", options) as stream:
            feeding = asyncio.create_task(_feed(stream, to_s16le(made.audio)))
            while (event := await stream.outbox.get()) is not None:
                if isinstance(event, Final):
                    told.finals.append(event)
                elif isinstance(event, SpeakersChanged):
                    told.updates |= event.speakers
            await feeding
    finally:
        await service.aclose()
    return told


async def _feed(stream: LiveStream, data: bytes) -> None:
    size = 2 * round(FRAME_S * SAMPLE_RATE)
    for start in range(0, len(data), size):
        await stream.feed(data[start : start + size])
    await stream.finish()
    stream.outbox.close()


def _joined(turns: Mapping[int, Diarization]) -> Diarization:
    names: list[str] = []

    def named(turns: Sequence[SpeakerTurn], found: Diarization) -> Iterator[SpeakerTurn]:
        for turn in turns:
            name = found.names[turn.speaker]
            if name not in names:
                names.append(name)
            yield replace(turn, speaker=names.index(name))

    parts = [found for _, found in sorted(turns.items())]
    joined = [turn for found in parts for turn in named(found.turns, found)]
    overlaps = [turn for found in parts for turn in named(found.overlaps, found)]
    return Diarization(tuple(joined), tuple(names), tuple(overlaps))
