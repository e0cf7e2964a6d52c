"""OpenAI Realtime's conversation items: what was said, from the first sound to the endpoint or from commit to commit.

Two things happen to an item, and neither waits for the other. Its audio is bounded: `SpeechStarted` and `SpeechEnded`
say where, as soon as that is known. And its text is told: `Partial` and `Final` come later, in the order of the audio.

A commit of the client is a `Flush`, and the n-th `Final` with that reason is the n-th commit's: all text that is told
before it is that item's, or an earlier one's. So wishes wait in a queue until the events that answer them arrive, and a
change of the mode in between does no harm.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from steno.errors import StenoError
from steno.pipelines.live.events import LiveEvent
from steno.pipelines.segments import separator
from steno.server.dialects.base import Message
from steno.server.dialects.openai_messages import error_of, event, new_id
from steno.server.wire import LogProb
from steno.streaming.events import Final, Heard, Partial, Silence, SpeechEnded, SpeechStarted
from steno.types import Word

LONGEST_S = 120.0
"""An item that is longer ends where its segment is cut: its text is kept until it is complete."""
SILENCE_S = 0.5
"""After a cut, so much silence ends the item, if the client has not said how much."""
TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass(slots=True, eq=False)
class _Item:
    id: str | None = None
    """Given once the client hears of it."""
    previous: str | None = None
    start_s: float | None = None
    end_s: float = 0.0
    audio_s: float | None = None
    """What the client committed, if it did; else it is as long as the speech."""
    last: int = -1
    """Its newest segment."""
    is_talking: bool = False
    """Whether that segment is still being spoken."""
    is_announced: bool = False
    """Whether `speech_started` was sent."""
    is_claimed: bool = False
    """Whether a commit or a clear, which has not come to pass yet, concerns it."""
    is_committed: bool = False
    text: str = ""
    """Of its segments that are final."""
    sent: int = 0
    """How many characters of the transcript have gone out as deltas."""
    words: list[Word] = field(default_factory=list)
    error: StenoError | None = None


@dataclass(frozen=True, slots=True)
class _Commit:
    item_id: str | None
    """Of the item that the client was told of at once; None: it is told when the segment has ended."""
    audio_s: float


@dataclass(frozen=True, slots=True)
class _Clear:
    pass


@dataclass(frozen=True, slots=True)
class _Part:
    """A segment without a `Final` yet."""

    item: _Item
    start_s: float


class Items:
    """Those of one conversation. In manual mode nothing ends an item but the client's commit, and nothing is told of
    it before."""

    def __init__(self) -> None:
        self.is_manual = False
        self.is_beta = False
        self.silence_s = SILENCE_S
        self.logprobs = False
        self._current: _Item | None = None
        """To which the next segment belongs."""
        self._parts: dict[int, _Part] = {}
        """By segment, in their order; those that began in manual mode are not in here."""
        self._wishes: deque[_Commit | _Clear] = deque()
        """Of the client, in order, which have not come to pass yet."""
        self._flushed = -1
        """The newest segment that a commit has ended."""
        self._newest_id: str | None = None

    def commit(self, audio_s: float) -> list[Message]:
        """The client wants the item to end. What it is told at once, before the `Flush`."""
        if not self.is_manual:
            self._wishes.append(_Commit(None, audio_s))
            return []
        current = self._current
        if current is not None and current.id is not None and not current.is_claimed:
            item = _Item(current.id, current.previous)
            current.is_claimed = True
        else:
            item = _Item()
        self._wishes.append(_Commit(self._name(item), audio_s))
        return self._committed(item)

    def clear(self) -> None:
        """The client does not want what it has not committed."""
        if self._current is not None:
            self._current.is_claimed = True
        if not (self._wishes and isinstance(self._wishes[-1], _Clear)):
            self._wishes.append(_Clear())

    def encode(self, heard: LiveEvent) -> list[Message]:
        match heard:
            case SpeechStarted():
                return [] if self._holds_back else self._speech_started(heard)
            case SpeechEnded():
                return self._speech_ended(heard)
            case Partial():
                return self._partial(heard)
            case Final():
                return self._final(heard)
            case Silence(discarded=True):
                return self._discarded(heard)
            case Heard():
                return [] if self._holds_back else self._end_in_silence(heard.until_s)
            case _:
                return []

    @property
    def _holds_back(self) -> bool:
        """Whether items end by commits alone: also after manual mode, until its last commit has come to pass."""
        return self.is_manual or any(isinstance(wish, _Commit) and wish.item_id for wish in self._wishes)

    def _speech_started(self, started: SpeechStarted) -> list[Message]:
        messages = self._end_in_silence(started.onset_s)
        item = self._current
        if item is None or item.is_talking:  # whose segment has not ended was cleared
            item = self._current = _Item(start_s=started.start_s)
        item.last, item.is_talking = started.segment_id, True
        self._parts[started.segment_id] = _Part(item, started.start_s)
        if item.id is None:
            item.is_announced = True
            start_ms = _ms(item.start_s if item.start_s is not None else started.start_s)
            messages.append(
                event("input_audio_buffer.speech_started", audio_start_ms=start_ms, item_id=self._name(item))
            )
        return messages

    def _speech_ended(self, ended: SpeechEnded) -> list[Message]:
        if ended.reason == "flush":
            self._flushed = ended.segment_id
        part = self._parts.get(ended.segment_id)
        if part is None:
            return []
        item = part.item
        item.end_s, item.is_talking = ended.end_s, False
        if self._holds_back or (ended.reason == "cut" and not _is_long(item)):
            return []
        return self._commit(item)

    def _end_in_silence(self, until_s: float) -> list[Message]:
        """A cut in a pause may turn out to have been the end: then there is no endpoint after it."""
        item = self._current
        if item is None or item.is_talking or until_s - item.end_s < self.silence_s:
            return []
        return self._commit(item) + self._complete_if_told(item)

    def _partial(self, heard: Partial) -> list[Message]:
        part = self._parts.get(heard.segment_id)
        if part is not None and (part.item.is_committed or not self._holds_back):
            return self._delta(part.item, _joined(part.item.text, heard.stable))
        wish = self._wishes[0] if self._wishes else None
        if not isinstance(wish, _Commit) or wish.item_id is None or heard.segment_id > self._flushed:
            return []
        item = self._current = self._current or _Item()
        item.id = wish.item_id
        return self._delta(item, _joined(item.text, heard.stable))

    def _final(self, final: Final) -> list[Message]:
        part = self._parts.pop(final.segment_id, None)
        commit = self._next_commit() if final.reason == "flush" else None
        item = part.item if part is not None else self._item_without_part(final, commit)
        _add(item, final)
        if commit is not None and commit.item_id is not None:
            item.id, item.audio_s, item.is_committed = commit.item_id, commit.audio_s, True
            self._leave(item)
        if item.is_committed:
            return self._complete_if_told(item)
        if not self._ends_with(final, item, commit):
            if self._holds_back or part is not None:
                return []
            return self._delta(item, item.text)
        return self._commit(item) + self._complete_if_told(item)

    def _item_without_part(self, final: Final, commit: _Commit | None) -> _Item:
        current = self._current
        if current is not None and (self._holds_back or commit is None or not current.is_talking):
            return current
        if commit is not None and not (commit.item_id or self._holds_back):
            return _Item(start_s=final.start_s)
        item = self._current = _Item(start_s=final.start_s)
        return item

    def _ends_with(self, final: Final, item: _Item, commit: _Commit | None) -> bool:
        if commit is not None:
            return True
        if final.reason == "close":
            return item.id is not None or bool(item.text)
        if self._holds_back:
            return not self._wishes and _is_long(item)
        return final.reason != "cut"

    def _discarded(self, silence: Silence) -> list[Message]:
        """What a clear has thrown away. An item that the client has read some text of ends with that."""
        if self._wishes and isinstance(self._wishes[0], _Clear):
            self._wishes.popleft()
        gone = [id for id, part in self._parts.items() if silence.start_s <= part.start_s < silence.end_s]
        items = [self._parts.pop(id).item for id in gone]
        if not items and self._holds_back and self._current is not None:
            items = [self._current]
        messages: list[Message] = []
        for item in items:
            self._leave(item)
            if item.sent and not item.is_committed:
                item.end_s = silence.end_s
                item.text = item.text[: item.sent]
                messages += self._commit(item) + self._complete_if_told(item)
        return messages

    def _next_commit(self) -> _Commit | None:
        while self._wishes:
            wish = self._wishes.popleft()
            if isinstance(wish, _Commit):
                return wish
        return None

    def _commit(self, item: _Item) -> list[Message]:
        self._leave(item)
        stopped = event("input_audio_buffer.speech_stopped", audio_end_ms=_ms(item.end_s), item_id=self._name(item))
        item.is_committed = True
        return [*([stopped] if item.is_announced else []), *self._committed(item)]

    def _committed(self, item: _Item) -> list[Message]:
        ids = {"previous_item_id": item.previous, "item_id": item.id}
        name = "conversation.item.created" if self.is_beta else "conversation.item.added"
        return [event("input_audio_buffer.committed", **ids), event(name, **_described(item, None))]

    def _complete_if_told(self, item: _Item) -> list[Message]:
        if any(part.item is item for part in self._parts.values()):
            return self._delta(item, item.text)
        messages = self._delta(item, item.text)
        where = {"item_id": item.id, "content_index": 0}
        if item.error is not None:
            messages.append(event(f"{TRANSCRIPTION}.failed", **where, error=error_of(item.error)))
        else:
            length_s = item.end_s - (item.end_s if item.start_s is None else item.start_s)
            seconds = length_s if item.audio_s is None else item.audio_s
            fields = {"transcript": item.text, "usage": {"type": "duration", "seconds": round(seconds, 3)}}
            logprobs = {"logprobs": _logprobs(item.words)} if self.logprobs else {}
            messages.append(event(f"{TRANSCRIPTION}.completed", **where, **fields, **logprobs))
        if not self.is_beta:
            transcript = None if item.error else item.text
            messages.append(event("conversation.item.done", **_described(item, transcript)))
        return messages

    def _delta(self, item: _Item, text: str) -> list[Message]:
        """What there is to add to the deltas so far, for `text` to be said."""
        delta = text[item.sent :]
        if not delta:
            return []
        item.sent = len(text)
        return [event(f"{TRANSCRIPTION}.delta", item_id=self._name(item), content_index=0, delta=delta)]

    def _name(self, item: _Item) -> str:
        if item.id is None:
            item.id, item.previous = new_id("item"), self._newest_id
            self._newest_id = item.id
        return item.id

    def _leave(self, item: _Item) -> None:
        if self._current is item:
            self._current = None
