"""What is kept, resumed and let go of, message by message."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest

from steno.client.exceptions import ConnectionLostError, ServerError
from steno.client.messages import Final, Partial, SpeakersChanged
from steno.client.replay_buffer import KEPT_S, STEP_S, ReplayBuffer
from steno.client.stream_options import StreamOptions
from steno.errors import BackendError, DrainingError

SECOND = 32_000


def buffer_with(seconds: float, **options: Any) -> ReplayBuffer:
    """So much audio, sent."""
    buffer = ReplayBuffer(StreamOptions(**options))
    buffer.begin_connection()
    send(buffer, seconds)
    return buffer


def send(buffer: ReplayBuffer, seconds: float) -> None:
    buffer.append(bytes(round(seconds * SECOND)))
    while buffer.next_frame():
        pass


def partial(segment_id: int, start_s: float, end_s: float, text: str = "a") -> dict[str, Any]:
    times = {"start_s": start_s, "end_s": end_s, "language": "en"}
    return {"is_partial": True, "segment_id": segment_id, "stable": "", "draft": text, **times}


def final(segment_id: int, start_s: float, end_s: float, **more: Any) -> dict[str, Any]:
    times = {"start_s": start_s, "end_s": end_s, "language": "en"}
    return {"is_final": True, "segment_id": segment_id, "text": "a", "confidence": None, **times, **more}


def resent(buffer: ReplayBuffer) -> float:
    """Seconds that a new connection sends again."""
    buffer.begin_connection()
    return sum(len(frame) for frame in iter(buffer.next_frame, b"")) / SECOND


def test_a_connection_begins_where_the_last_final_ended_and_says_so() -> None:
    buffer = buffer_with(10, offset_s=100.0)
    buffer.handle(final(0, 101, 104.5), now=0)
    query = parse_qs(buffer.begin_connection())
    assert query["offset_s"] == ["104.5"]
    assert resent(buffer) == 5.5


def test_speakers_of_another_connection_never_get_a_name_that_is_taken() -> None:
    buffer = buffer_with(10)
    word = {"word": "a", "start_s": 0, "end_s": 1, "confidence": None}

    def told(segment_id: int, speaker: str | None, *words: str) -> tuple[str | None, list[str | None]]:
        message = final(segment_id, 0, 1, speaker=speaker, words=[{**word, "speaker": each} for each in words])
        event = buffer.handle(message, now=0)
        assert isinstance(event, Final)
        return event.speaker, [each.speaker for each in event.words]

    assert told(0, "A", "A") == ("A", ["A"])
    assert told(1, "B", "B", "A") == ("B", ["B", "A"])
    assert told(2, None) == (None, [])
    buffer.begin_connection()
    assert told(0, "A", "A", "B") == ("C", ["C", "D"])
    both = buffer.handle(final(1, 0, 1, words=[{**word, "speaker": "B", "other_speaker": "A"}]), now=0)
    assert isinstance(both, Final)
    assert (both.words[0].speaker, both.words[0].other_speaker) == ("D", "C")
    changed = {"status": "speakers", "segments": [{"segment_id": 0, "speaker": "B"}]}
    assert buffer.handle(changed, now=0) == SpeakersChanged({3: "D"})


def test_ids_go_on_and_a_segment_that_was_under_way_keeps_its_own() -> None:
    buffer = buffer_with(10)
    buffer.handle(final(0, 0, 2), now=0)
    assert buffer.handle(partial(1, 2, 5), now=0) == Partial(1, 2, 5, "", "a", "en")
    buffer.begin_connection()
    assert buffer.handle(partial(0, 2, 3), now=0) is None, "it has been shown further than that"
    assert buffer.handle(partial(0, 2, 5.5), now=0) == Partial(1, 2, 5.5, "", "a", "en")
    assert buffer.handle(final(0, 2, 6), now=0) == Final(1, 2, 6, "a", "en")


def test_cues_are_numbered_on() -> None:
    buffer = buffer_with(10, captions="srt")
    assert "first_cue" not in buffer.begin_connection()
    send(buffer, 1)
    buffer.handle(final(0, 0, 4, caption="1\n0 --> 1\na -> b\n\n2\n1 --> 2\nc\n\n"), now=0)
    assert parse_qs(buffer.begin_connection())["first_cue"] == ["3"]


def test_there_is_room_for_a_minute_that_nobody_has_taken() -> None:
    buffer = buffer_with(KEPT_S - 1)
    assert buffer.has_room
    send(buffer, 1)
    assert not buffer.has_room
    event = buffer.handle(final(0, 0, 20), now=0)
    assert not buffer.has_room, "it came, but the consumer does not have it"
    assert event is not None
    buffer.mark_taken(event)
    assert buffer.has_room
    assert resent(buffer) == KEPT_S - 20


def test_silence_is_let_go_of_once_the_server_has_heard_it() -> None:
    buffer = buffer_with(KEPT_S)
    buffer.pinged()
    buffer.handle({"status": "pong"}, now=0)
    assert buffer.has_room
    assert resent(buffer) == KEPT_S, "it is still kept while there is room for it"
    buffer = buffer_with(KEPT_S)
    buffer.pinged()
    send(buffer, 20)
    buffer.handle({"status": "pong"}, now=0)
    assert KEPT_S <= resent(buffer) < KEPT_S + STEP_S


@pytest.mark.parametrize("unsure", [{"status": "lag", "behind_s": 4.0, "rtf": 1.0}, partial(0, 0, 3)])
def test_what_may_be_speech_is_not_let_go_of(unsure: dict[str, Any]) -> None:
    buffer = buffer_with(KEPT_S)
    buffer.handle(unsure, now=0)
    buffer.pinged()
    buffer.handle({"status": "pong"}, now=1)
    assert not buffer.has_room


def test_a_ping_is_due_every_few_seconds_of_audio() -> None:
    buffer = buffer_with(4)
    assert not buffer.ping_is_due()
    send(buffer, 1)
    assert buffer.ping_is_due()
    buffer.pinged()
    assert not buffer.ping_is_due()


def test_a_failed_segment_brings_its_error_along() -> None:
    buffer = buffer_with(5)
    buffer.handle({"status": "error", "code": "BACKEND_ERROR", "message": "no", "segment_id": 0}, now=0)
    event = buffer.handle(final(0, 0, 2), now=0)
    assert isinstance(event, Final)
    assert isinstance(event.error, BackendError)


def test_an_error_of_the_session_is_raised_as_what_it_was() -> None:
    buffer = buffer_with(5)
    message = {"status": "error", "code": "DRAINING", "message": "bye", "statusCode": 503, "retry_after_s": 7}
    with pytest.raises(DrainingError) as told:
        buffer.handle(message, now=0)
    assert told.value.retry_after_s == 7
    with pytest.raises(ServerError, match=r"^the server says NEW_TROUBLE: the server gave no reason$"):
        buffer.handle({"status": "error", "code": "NEW_TROUBLE"}, now=0)


@pytest.mark.parametrize("message", [{"is_final": True}, {"is_partial": True, "segment_id": "x"}, {"status": "lag"}])
def test_messages_of_something_else_are_named_so(message: dict[str, Any]) -> None:
    with pytest.raises(ServerError, match="expected one of steno's live protocol"):
        buffer_with(1).handle(message, now=0)


def test_a_container_begins_anew_only_before_anything_was_sent() -> None:
    buffer = ReplayBuffer(StreamOptions(encoding="webm"))
    buffer.begin_connection()
    buffer.begin_connection()
    buffer.append(b"abc")
    assert buffer.next_frame() == b"abc"
    with pytest.raises(ConnectionLostError):
        buffer.begin_connection()


def test_nothing_more_can_come_once_the_last_final_is_there() -> None:
    buffer = buffer_with(5)
    buffer.ended = True
    assert not buffer.is_complete
    buffer.handle(final(0, 0, 5), now=0)
    assert buffer.is_complete
