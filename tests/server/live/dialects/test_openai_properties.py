"""Whatever a client does, and whenever it hears of it: each item is committed and completed once, and told in full."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from steno.backends.base import Capabilities
from steno.pipelines.live.live_options import check
from steno.server.live.dialects.base import Configure, Flush, Handshake, Message, Reply, Reset, ServerFacts
from steno.server.live.dialects.openai import OPENAI_REALTIME
from steno.streaming.session_config import SessionConfig
from steno.vad.config import SegmenterConfig
from streaming.streams import Stream, audio_of

CAPABILITIES = Capabilities(
    languages=None,
    live=True,
    word_times=True,
    context=True,
    max_audio_s=60,
)
OPENING = ServerFacts(
    "s", "m", 4.0, lambda options: check(options, CAPABILITIES, "test", can_translate=False), lambda model: "m"
)
SEGMENTER = SegmenterConfig(search_from_s=3, max_s=4)
AUDIO = base64.b64encode(bytes(4800)).decode()
TRANSCRIPTION = "conversation.item.input_audio_transcription"

HEARING = st.tuples(st.sampled_from(["speech", "silence"]), st.sampled_from([0.3, 0.7, 2.0, 4.5]))
OTHER = st.sampled_from(["recognise", "fail", "tell", "tell all"])
WISHES = st.sampled_from(["commit", "clear"])
MODES = st.sampled_from(["manual", "automatic", "live"])


class Conversation:
    """A dialect on a real session. What comes of either waits to be told, as it does on a server."""

    def __init__(self) -> None:
        self.dialect = OPENAI_REALTIME.open(Handshake((), {}, ()), OPENING)
        self.stream = Stream(SessionConfig(SEGMENTER, hold_s=0.0))
        self.outbox: list[object] = []
        self.messages: list[Message] = []
        self.commits = 0
        self._seen = 0

    def run(self, act: str | tuple[str, float]) -> None:
        match act:
            case tuple():
                self.stream.hear(audio_of(act))
            case "recognise" | "fail":
                self.stream.recognise(fails=act == "fail")
            case "tell":
                self.tell(1)
            case "tell all":
                self.tell(len(self.outbox))
            case "commit":
                self.send(type="input_audio_buffer.append", audio=AUDIO)
                self.stream.hear(audio_of(("silence", 0.1)))
                self.send(type="input_audio_buffer.commit")
                self.commits += 1
            case "clear":
                self.send(type="input_audio_buffer.clear")
            case _:
                mode = {"type": "server_vad"} if act == "automatic" else None
                model = "gpt-live-transcribe" if act == "live" else "whisper-1"
                heard = {"turn_detection": mode, "transcription": {"model": model}}
                self.send(type="session.update", session={"audio": {"input": heard}})
        self._collect()

    def send(self, **message: object) -> None:
        for command in self.dialect.receive(json.dumps(message)):
            match command:
                case Flush():
                    self.stream.events += self.stream.session.flush()
                case Reset():
                    self.stream.events += self.stream.session.reset()
                case Configure(options):
                    silence_ms = SEGMENTER.silence_ms if options.endpointing else 3_600_000
                    config = SessionConfig(replace(SEGMENTER, silence_ms=silence_ms), hold_s=0.0)
                    self.stream.events += self.stream.session.configure(config)
                case Reply(reply):
                    self._collect()
                    assert reply["type"] != "error"
                    self.outbox.append(reply)
            self._collect()

    def tell(self, count: int) -> None:
        told, self.outbox = self.outbox[:count], self.outbox[count:]
        for item in told:
            self.messages += [item] if isinstance(item, dict) else self.dialect.encode(item)  # type: ignore[arg-type]

    def finish(self) -> None:
        self.stream.end()
        self._collect()
        self.tell(len(self.outbox))

    def _collect(self) -> None:
        self.outbox += self.stream.events[self._seen :]
        self._seen = len(self.stream.events)

    def of(self, name: str) -> list[Message]:
        return [message for message in self.messages if message["type"] == name]


def check_items(talk: Conversation) -> None:
    committed = [message["item_id"] for message in talk.of("input_audio_buffer.committed")]
    ends = talk.of(f"{TRANSCRIPTION}.completed") + talk.of(f"{TRANSCRIPTION}.failed")
    assert len(set(committed)) == len(committed)
    assert Counter(message["item_id"] for message in ends) == Counter(committed)
    empty = [message["error"]["code"] for message in talk.of("error")]
    assert set(empty) <= {"input_audio_buffer_commit_empty"}
    assert len(committed) + len(empty) >= talk.commits
    deltas = talk.of(f"{TRANSCRIPTION}.delta")
    for end in ends:
        told = "".join(message["delta"] for message in deltas if message["item_id"] == end["item_id"])
        assert end.get("transcript", told) == told
    assert {message["item_id"] for message in deltas} <= set(committed)
    order = [message["item_id"] for message in deltas]
    assert [id for n, id in enumerate(order) if n == 0 or order[n - 1] != id] == list(dict.fromkeys(order))
    over = set()
    for message in talk.messages:
        assert message.get("item_id") not in over
        if message["type"].startswith((f"{TRANSCRIPTION}.completed", f"{TRANSCRIPTION}.failed")):
            over.add(message["item_id"])


@settings(max_examples=300)
@given(st.lists(st.one_of(HEARING, HEARING, OTHER, WISHES, MODES), max_size=30))
def test_items_are_whole_whatever_happens(acts: list[str | tuple[str, float]]) -> None:
    talk = Conversation()
    for act in acts:
        talk.run(act)
    talk.run("commit")
    talk.finish()
    check_items(talk)


@settings(max_examples=200)
@given(st.lists(st.one_of(HEARING, HEARING, OTHER, WISHES), max_size=30))
def test_by_hand_each_commit_is_an_item_of_which_nothing_is_told_before(acts: list[str | tuple[str, float]]) -> None:
    talk = Conversation()
    talk.run("manual")
    for act in acts:
        talk.run(act)
    talk.run("commit")
    talk.finish()
    check_items(talk)
    committed = talk.of("input_audio_buffer.committed")
    assert len(committed) == talk.commits
    assert [message["previous_item_id"] for message in committed] == [None, *[m["item_id"] for m in committed][:-1]]
    known = set()
    for message in talk.messages:
        if message["type"] == "input_audio_buffer.committed":
            known.add(message["item_id"])
        assert message.get("item_id") in known | {None}
    assert not talk.of("input_audio_buffer.speech_started")


@settings(max_examples=300)
@given(st.lists(st.one_of(HEARING, HEARING, OTHER, WISHES), max_size=30))
def test_a_live_model_tells_the_text_of_whole_items(acts: list[str | tuple[str, float]]) -> None:
    talk = Conversation()
    talk.run("live")
    for act in acts:
        talk.run(act)
    talk.run("commit")
    talk.finish()
    check_items(talk)


@settings(max_examples=200)
@given(st.lists(st.one_of(HEARING, HEARING, OTHER), max_size=30))
def test_with_voice_detection_all_that_was_heard_is_in_some_item(acts: list[str | tuple[str, float]]) -> None:
    talk = Conversation()
    for act in acts:
        if act != "fail":
            talk.run(act)
    talk.finish()
    check_items(talk)
    told = " ".join(message["transcript"] for message in talk.of(f"{TRANSCRIPTION}.completed")).split()
    assert told == " ".join(final.text for final in talk.stream.finals).split()
    starts, stops = talk.of("input_audio_buffer.speech_started"), talk.of("input_audio_buffer.speech_stopped")
    assert [message["item_id"] for message in starts] == [message["item_id"] for message in stops]
