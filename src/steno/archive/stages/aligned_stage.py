"""The chat on the recording's clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from steno.archive.chat.chat_message import ChatMessage
from steno.archive.chat.clock_estimate import estimate_clock
from steno.archive.chat.recording_track import RecordingTrack
from steno.archive.chat_files import AlignedChat, ChatMessages
from steno.archive.file_checksum import record_of
from steno.archive.manifest import ChatClock, RecordingManifest, StageName
from steno.archive.stage_files import Pieces, TimedTranscript, dump, load
from steno.archive.stages.stage import StageJob, StageOutcome, StagePlan, StageTools, checksum_of
from steno.whole_file import write_whole

VERSION = 1


class AlignedStage:
    """Estimates the clock, unless somebody has confirmed one: then that one is used."""

    name: StageName = "aligned"

    def plan(self, manifest: RecordingManifest, tools: StageTools) -> StagePlan | None:
        if manifest.chat_raw is None:
            return None
        inputs = {name: checksum_of(manifest, name) for name in ("audio", "chat", "pieces", "words")}
        return StagePlan(self.name, VERSION, dict(inputs), _options(manifest.clock))

    async def run(self, job: StageJob) -> StageOutcome:
        messages = load(ChatMessages, job.result_of("chat")).messages
        known = job.manifest.clock
        files: list[Path] = []
        if known is not None and known.confirmed_by is not None:
            clock = known
        else:
            clock = await self._estimated(job, messages, files)
        placed = placed_messages(messages, clock)
        write_whole(path := job.new_path(".json"), dump(AlignedChat(clock=clock, messages=placed)), lasting=True)
        statistics = {"messages": len(placed), "confidence": clock.confidence}
        return StageOutcome([path, *files], statistics, [clock.problem] if clock.problem else [])

    async def _estimated(self, job: StageJob, messages: Sequence[ChatMessage], files: list[Path]) -> ChatClock:
        """Adds the file of the curve to `files`."""
        known = job.manifest.clock
        track = track_of(load(Pieces, job.result_of("pieces")), load(TimedTranscript, job.result_of("words")))
        anchors = known.anchors if known is not None else ()
        estimate = await asyncio.to_thread(estimate_clock, messages, track, anchors)
        clock = job.manifest.tied(estimate.clock)
        if estimate.curve is None:
            return clock
        path = job.new_path(".curve.json")
        write_whole(path, json.dumps(estimate.curve.as_json()) + "\n", lasting=True)
        files.append(path)
        return clock.model_copy(update={"correlation": record_of(path, path.name)})

    def facts(self, files: Sequence[Path], manifest: RecordingManifest) -> dict[str, object]:
        """An estimate replaces no confirmed clock; a clock that was not found replaces none that was.

        A confirmed clock in a result is in the manifest already, unless somebody has taken it back since.
        """
        clock, known = load(AlignedChat, files[0]).clock, manifest.clock
        if clock == known or clock.confirmed_by is not None:
            return {}
        if known is not None and (known.confirmed_by is not None or (known.segments and not clock.segments)):
            return {}
        return {"clocks": (*manifest.clocks, clock)}


def placed_messages(messages: Sequence[ChatMessage], clock: ChatClock) -> tuple[ChatMessage, ...]:
    """The messages at their times on the recording's clock; none if it was not found."""
    placed = [(message, clock.recording_s(message.time_s)) for message in messages]
    found = [replace(message, time_s=round(time_s, 3)) for message, time_s in placed if time_s is not None]
    return tuple(sorted(found, key=lambda message: message.time_s))


def track_of(pieces: Pieces, transcript: TimedTranscript) -> RecordingTrack:
    """Levels and words of a recording. Speech is where words are; where pieces have it, if words have no times."""
    words = transcript.transcript().words
    spoken = [(word.start_s, word.end_s) for word in words] or [piece.speech for piece in pieces.pieces if piece.speech]
    activity = np.zeros(len(pieces.levels_db))
    for start_s, end_s in spoken:
        activity[int(start_s / pieces.level_step_s) : int(np.ceil(end_s / pieces.level_step_s))] = 1.0
    return RecordingTrack(
        duration_s=pieces.duration_s,
        frame_s=pieces.level_step_s,
        activity=activity,
        loudness_db=np.array(pieces.levels_db, np.float64),
        words=words,
        language=transcript.language,
    )


def _options(clock: ChatClock | None) -> dict[str, JsonValue]:
    """What a person has said about the clock."""
    if clock is not None and clock.confirmed_by is not None:
        return {"clock": [segment.model_dump() for segment in clock.segments]}
    anchors = clock.anchors if clock is not None else ()
    return {"anchors": [anchor.model_dump() for anchor in anchors]}
