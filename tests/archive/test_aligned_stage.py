from __future__ import annotations

from pathlib import Path

import numpy as np

from steno.archive.chat.chat_message import ChatMessage
from steno.archive.chat_files import AlignedChat
from steno.archive.manifest import (
    ChatClock,
    ClockSegment,
    FileRecord,
    RecordingManifest,
    StageName,
    StageResult,
)
from steno.archive.stage_files import AudioPiece, Pieces, TimedTranscript, dump
from steno.archive.stages.aligned_stage import AlignedStage, placed_messages, track_of
from steno.archive.stages.stage import StagePlan
from steno.types import Segment, Word

FOUND = ChatClock(
    segments=(ClockSegment(start_s=0.0, offset_s=-5.0), ClockSegment(start_s=10.0, offset_s=-8.0)),
    confidence=0.9,
    method="cross_correlation",
)
UNCLEAR = ChatClock(method="cross_correlation", problem="no clear peak")


def result(stage: StageName, content: str) -> StageResult:
    """The content's first digit tells its checksum."""
    file = FileRecord(path=f"{stage}.json", sha256=content * 64, bytes=1)
    return StageResult(
        stage=stage, key=content * 16, stage_version=1, inputs={}, options={}, files=(file,), steno="0.1.0"
    )


def recording_with(*clocks: ChatClock, **contents: str) -> RecordingManifest:
    names: tuple[StageName, ...] = ("audio", "chat", "pieces", "words")
    results = tuple(result(name, contents.get(name, "a")) for name in names)
    return RecordingManifest(
        id="talk",
        source="/talk.wav",
        chat_raw=FileRecord(path="/chat.json", sha256="0" * 64, bytes=1),
        current={each.stage: each.key for each in results},
        results=results,
        clocks=clocks,
    )


def planned(manifest: RecordingManifest) -> StagePlan | None:
    return AlignedStage().plan(manifest, None)  # type: ignore[arg-type]


def facts(tmp_path: Path, made: ChatClock, *before: ChatClock) -> dict[str, object]:
    (tmp_path / "aligned.json").write_bytes(dump(AlignedChat(clock=made, messages=())))
    manifest = RecordingManifest(id="talk", source="/talk.wav", clocks=before)
    return AlignedStage().facts([tmp_path / "aligned.json"], manifest)


def test_messages_are_in_the_order_of_the_recording() -> None:
    """A step back makes the chat's later messages earlier."""
    chat = tuple(ChatMessage(time_s, "kim", str(time_s)) for time_s in (6.0, 9.0, 11.0))
    assert [(each.time_s, each.text) for each in placed_messages(chat, FOUND)] == [
        (1.0, "6.0"),
        (3.0, "11.0"),
        (4.0, "9.0"),
    ]
    assert placed_messages(chat, UNCLEAR) == ()


def test_a_clock_that_was_not_found_replaces_none_that_was(tmp_path: Path) -> None:
    assert facts(tmp_path, FOUND) == {"clocks": (FOUND,)}
    assert facts(tmp_path, UNCLEAR) == {"clocks": (UNCLEAR,)}
    assert facts(tmp_path, FOUND, UNCLEAR) == {"clocks": (UNCLEAR, FOUND)}
    assert facts(tmp_path, UNCLEAR, FOUND) == {}
    assert facts(tmp_path, FOUND, FOUND) == {}


def test_a_clock_that_somebody_confirmed_meanwhile_stays_in_use(tmp_path: Path) -> None:
    by_kim, by_ada = (FOUND.model_copy(update={"confirmed_by": name}) for name in ("kim", "ada"))
    moved = by_kim.model_copy(update={"segments": (ClockSegment(start_s=0.0, offset_s=-6.0),)})
    assert facts(tmp_path, FOUND, by_kim) == {}
    assert facts(tmp_path, FOUND, FOUND, moved) == {}
    assert facts(tmp_path, by_kim, moved) == {}, "the job was planned with the older clock"
    assert facts(tmp_path, by_kim, by_kim, by_ada) == {}, "its key has the segments alone"
    assert facts(tmp_path, by_kim, by_kim, FOUND) == {}, "the confirmed clock was taken back"


def test_a_clock_of_another_chat_or_recording_is_not_used(tmp_path: Path) -> None:
    known = recording_with().tied(FOUND).model_copy(update={"confirmed_by": "kim"})
    assert recording_with(known).clock == known
    assert (plan := planned(recording_with(known)))
    assert plan.options.keys() == {"clock"}
    for other in ({"chat": "b"}, {"audio": "b"}):
        changed = recording_with(known, **other)
        assert changed.clock is None
        assert (plan := planned(changed))
        assert plan.options == {"anchors": []}
        new = changed.tied(UNCLEAR)
        (tmp_path / "aligned.json").write_bytes(dump(AlignedChat(clock=new, messages=())))
        assert AlignedStage().facts([tmp_path / "aligned.json"], changed) == {"clocks": (known, new)}
    assert recording_with(known, recording_with(chat="b").tied(UNCLEAR)).clock == known, "the chat is back"


def test_a_chat_of_another_log_is_not_used() -> None:
    read = recording_with()
    chat = result("chat", "a").model_copy(update={"inputs": {"chat": "0" * 64}})
    read = read.model_copy(update={"results": (chat, *(each for each in read.results if each.stage != "chat"))})
    read = read.model_copy(update={"clocks": (read.tied(FOUND),)})
    assert (read.consistent("chat"), read.clock) == (chat, read.clocks[0])
    for log in (None, FileRecord(path="/other.json", sha256="1" * 64, bytes=1)):
        changed = read.model_copy(update={"chat_raw": log})
        assert (changed.consistent("chat"), changed.clock) == (None, None)


def test_each_audio_has_an_estimate_of_its_own() -> None:
    """Otherwise the reused clock would be one of the other audio."""
    assert (one := planned(recording_with()))
    assert (two := planned(recording_with(audio="b")))
    assert one.key != two.key


def test_a_track_has_the_speech_and_the_levels_of_the_pieces() -> None:
    word = Word("hello", 0.5, 0.9, 0.9)
    pieces = Pieces(
        duration_s=2.0,
        pieces=(
            AudioPiece(start_s=0.0, end_s=1.0, speech=(0.5, 0.9), speech_s=0.4),
            AudioPiece(start_s=1.0, end_s=2.0, speech=None, speech_s=0.0),
        ),
        levels_db=(-90, -60, -20, -21, -90, -90, -90, -90),
    )
    transcript = TimedTranscript(
        text="hello", language="en", duration_s=2.0, segments=(Segment(0, 0.5, 0.9, "hello", "en", (word,)),)
    )
    track = track_of(pieces, transcript)
    assert (track.duration_s, track.frame_s, track.language) == (2.0, 0.25, "en")
    assert track.activity.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert np.array_equal(track.loudness_db, np.array(pieces.levels_db))
    assert list(track.words) == [word]
