"""OpenAI Realtime's conversation items: speech from its onset to the endpoint, or from commit to commit.

An item gets bounds and text independently. `SpeechStarted` and `SpeechEnded` set the bounds as soon as they are known;
`Partial` and `Final` add text later, in the order of the audio.

A commit of the client is a `Flush`, and the n-th `Final` with that reason is the n-th commit's: all text that is told
before it is that item's, or an earlier one's. So wishes wait in a queue until the events that answer them arrive, and a
change of the mode in between does no harm.
"""

from __future__ import annotations

import math

from steno.pipelines.live.notices import LiveEvent
from steno.pipelines.segments import separator
from steno.pipelines.speaker_labels import speaker_runs
from steno.server.live.dialects.base import Message
from steno.server.live.dialects.openai_commits import Commit, PendingCommits
from steno.server.live.dialects.openai_item import ConversationItem, PendingSegment
from steno.server.live.dialects.openai_messages import (
    MIN_COMMIT_S,
    CommitEmptyError,
    committed,
    error_event,
    error_of,
    event,
    item_object,
    logprobs_of,
    new_id,
    segment_of,
)
from steno.streaming.events import (
    AssumedSilence,
    AudioProgress,
    Final,
    Partial,
    Silence,
    SpeechEnded,
    SpeechStarted,
)

LONGEST_S = 120.0
"""Max seconds of an item: a longer one ends where its segment is cut, because its text is kept until it is complete."""
SILENCE_S = 0.5
"""Seconds of silence that end an item after a cut, unless the client sets them."""
TRANSCRIPTION = "conversation.item.input_audio_transcription"


class ConversationItems:
    """The items of one conversation. In manual mode only the client's commit ends an item, and nothing of it is sent
    before, except the deltas of a live model."""

    def __init__(self) -> None:
        self.is_manual = False
        self.is_live = False
        self.is_beta = False
        self.silence_s = SILENCE_S
        self.logprobs = False
        self.speakers = False
        self._current: ConversationItem | None = None
        """The item of the next segment."""
        self._parts: dict[int, PendingSegment] = {}
        """Open segments in order, without those that started in manual mode."""
        self._wishes = PendingCommits()
        self._flushed = -1
        """Id of the newest segment that a commit has ended."""
        self._newest_id: str | None = None
        self._committed_until_s = -math.inf
        """End of the newest committed item on the stream's clock."""

    def commit(self, audio_s: float, event_id: str | None = None) -> list[Message]:
        """Handle a commit. Returns the messages to send at once, before the `Flush`."""
        if not self.is_manual:
            self._wishes.commit(Commit(None, None, audio_s, event_id))
            return []
        current = self._current
        if current is None or current.id is None or not self._is_free(current):
            ids = self._next_ids()
        else:
            current.is_claimed = True
            ids = current.id, current.previous
        self._wishes.commit(Commit(*ids, audio_s))
        return committed(*ids, is_beta=self.is_beta)

    def clear(self) -> None:
        """Handle a clear: discard audio that was not committed."""
        if self._current is not None:
            self._current.is_cleared = True
        self._wishes.clear()

    def encode(self, event_: LiveEvent) -> list[Message]:
        match event_:
            case SpeechStarted():
                return [] if self._holds_back else self._speech_started(event_)
            case SpeechEnded():
                return self._speech_ended(event_)
            case Partial():
                return self._partial(event_)
            case Final():
                return self._final(event_)
            case Silence(discarded=True):
                return self._discarded(event_)
            case AudioProgress():
                return [] if self._holds_back else self._end_in_silence(event_.until_s)
            case AssumedSilence():
                return [] if self._holds_back else self._end_in_silence(event_.at_s + event_.seconds)
            case Silence():
                return [] if self._wishes or self.is_manual else self._end_before(event_)
            case _:
                return []

    @property
    def _holds_back(self) -> bool:
        """Whether only commits end items: in manual mode, and after it until its last commit is done."""
        return self.is_manual or self._wishes.holds_told

    @property
    def _tells_open_turns(self) -> bool:
        """Whether text is held back: with commits or clears pending, its item is not known yet."""
        return self.is_manual and self.is_live and not self._wishes

    def _is_free(self, item: ConversationItem) -> bool:
        """Whether no earlier commit or clear concerns the item."""
        return not (item.is_claimed or item.is_cleared or self._wishes.holds_untold)

    def _speech_started(self, started: SpeechStarted) -> list[Message]:
        messages = self._end_in_silence(started.onset_s)
        item = self._current
        if item is None or item.is_talking:
            if item is not None:
                item.is_cleared = True  # or its segment would have ended
            item = self._current = ConversationItem(started.start_s, started.start_s)
        item.is_talking = True
        self._parts[started.segment_id] = PendingSegment(item, started.start_s)
        if item.id is None:
            item.is_announced = True
            times = {"audio_start_ms": _ms(item.start_s)}
            messages.append(event("input_audio_buffer.speech_started", **times, item_id=self._name(item)))
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
        """End an item after a cut in a pause that turned out to be its end: no endpoint follows."""
        item = self._current
        if item is None or item.is_talking:
            return []
        if until_s - item.end_s < self.silence_s and not item.is_cleared:
            return []
        return self._commit(item) + self._complete_if_told(item)

    def _end_before(self, silence: Silence) -> list[Message]:
        """End it likewise before later speech, or at the end of the stream."""
        item = self._current
        if item is None or item.is_talking or silence.start_s < item.end_s:
            return []
        return self._commit(item) + self._complete_if_told(item)

    def _partial(self, event_: Partial) -> list[Message]:
        part = self._parts.get(event_.segment_id)
        if part is not None and (part.item.is_committed or not self._holds_back):
            return self._delta(part.item, _joined(part.item.text, event_.stable))
        if self._tells_open_turns:
            item = self._current = self._current or ConversationItem(event_.start_s, event_.start_s)
            return self._delta(item, _joined(item.text, event_.stable))
        wish = self._wishes.next
        if wish is None or wish.item_id is None or event_.segment_id > self._flushed:
            return []
        item = self._current = self._current or ConversationItem(event_.start_s, event_.start_s)
        if item.id not in (None, wish.item_id):
            return []
        item.id, item.previous, item.is_claimed = wish.item_id, wish.previous_id, True
        return self._delta(item, _joined(item.text, event_.stable))

    def _final(self, final: Final) -> list[Message]:
        part = self._parts.pop(final.segment_id, None)
        commit = self._wishes.flushed() if final.reason == "flush" else None
        item = part.item if part else self._item_without_part(final)
        if commit is not None and commit.item_id is None and self._is_refused(item, final):
            return [error_event(CommitEmptyError(final.end_s - self._committed_until_s), commit.event_id)]
        self._add(item, final)
        if commit is not None and commit.item_id is not None:
            return self._come_to_pass(commit, item)
        if item.is_committed:
            return self._complete_if_told(item)
        if commit is None and not self._ends_with(final, item, is_whole=part is None):
            return [] if self._holds_back and not self._tells_open_turns else self._delta(item, item.text)
        return self._commit(item) + self._complete_if_told(item)

    def _is_refused(self, item: ConversationItem, final: Final) -> bool:
        """Whether a commit came right after the VAD's own, which took all the audio. Clients of live models, which end
        turns by themselves, get an empty item: LiveKit ends its stream at an error."""
        is_untold = item.id is None and not item.text and not final.text and final.end_s <= final.start_s
        if self.is_live or not is_untold or final.end_s - self._committed_until_s >= MIN_COMMIT_S - 1e-6:
            return False
        self._leave(item)
        return True

    def _come_to_pass(self, commit: Commit, item: ConversationItem) -> list[Message]:
        """The item of an announced commit. Text already sent under another id is an item of its own."""
        before: list[Message] = []
        if item.id not in (None, commit.item_id):
            before = ([] if item.is_committed else self._commit(item)) + self._complete_if_told(item)
            item = ConversationItem(item.end_s, item.end_s)
        item.id, item.previous, item.audio_s = commit.item_id, commit.previous_id, commit.audio_s
        item.is_committed = True
        self._leave(item)
        return before + self._complete_if_told(item)

    def _item_without_part(self, final: Final) -> ConversationItem:
        """The item of a segment that started in manual mode, or of an empty one. If another item is open, it is a new
        one."""
        current = self._current
        if current is not None:
            began_later = current.is_talking and (final.reason == "flush" or not self._holds_back)
            return ConversationItem(final.start_s, final.start_s) if began_later else current
        item = ConversationItem(final.start_s, final.start_s)
        if not self._parts:
            self._current = item
        return item

    def _ends_with(self, final: Final, item: ConversationItem, *, is_whole: bool) -> bool:
        """`is_whole`: whether the item may consist of this segment alone."""
        if final.reason == "close":
            return item.id is not None or bool(item.text)
        if self._holds_back:
            return not self._wishes and _is_long(item)
        return final.reason != "cut" or (is_whole and item is not self._current)

    def _add(self, item: ConversationItem, final: Final) -> None:
        item.text = _joined(item.text, final.text)
        item.end_s = max(item.end_s, final.end_s) if final.end_s > final.start_s else item.end_s
        item.error = item.error or final.error
        if self.logprobs:
            item.words += final.words
        if self.speakers and final.text:
            item.runs += speaker_runs(final.text, final.words)

    def _discarded(self, silence: Silence) -> list[Message]:
        """Drop what a clear discarded. An item with text already sent ends with that text."""
        self._wishes.discarded()
        gone = [n for n, part in self._parts.items() if silence.start_s <= part.start_s < silence.end_s]
        items = [self._parts.pop(n).item for n in gone]
        current = self._current
        if not items and current is not None and not current.is_talking and (self._holds_back or current.is_cleared):
            items = [current]
        messages: list[Message] = []
        for item in items:
            self._leave(item)
            if item.sent and not item.is_committed:
                item.text, item.end_s = item.sent, silence.end_s
                messages += self._commit(item) + self._complete_if_told(item)
        return messages

    def _commit(self, item: ConversationItem) -> list[Message]:
        self._leave(item)
        item.is_committed = True
        self._committed_until_s = max(self._committed_until_s, item.end_s)
        item_id = self._name(item)
        stopped = event("input_audio_buffer.speech_stopped", audio_end_ms=_ms(item.end_s), item_id=item_id)
        return [*([stopped] if item.is_announced else []), *committed(item_id, item.previous, is_beta=self.is_beta)]

    def _complete_if_told(self, item: ConversationItem) -> list[Message]:
        messages = self._delta(item, item.text)
        if any(part.item is item for part in self._parts.values()):
            return messages
        item_id = self._name(item)
        where = {"item_id": item_id, "content_index": 0}
        if item.error is not None:
            messages.append(event(f"{TRANSCRIPTION}.failed", **where, error=error_of(item.error)))
        else:
            seconds = item.end_s - item.start_s if item.audio_s is None else item.audio_s
            usage = {"type": "duration", "seconds": round(seconds, 3)}
            logprobs = {"logprobs": logprobs_of(item.words)} if self.logprobs else {}
            messages += [event(f"{TRANSCRIPTION}.segment", **where, **segment_of(run)) for run in item.runs]
            messages.append(event(f"{TRANSCRIPTION}.completed", **where, transcript=item.text, usage=usage, **logprobs))
        if not self.is_beta:
            described = item_object(item_id, None if item.error else item.text)
            messages.append(event("conversation.item.done", previous_item_id=item.previous, item=described))
        return messages

    def _delta(self, item: ConversationItem, text: str) -> list[Message]:
        """The delta that completes the text sent so far to `text`."""
        delta = text[len(item.sent) :]
        if not delta or (item.is_cleared and not item.is_committed):
            return []
        item.sent = text
        return [event(f"{TRANSCRIPTION}.delta", item_id=self._name(item), content_index=0, delta=delta)]

    def _name(self, item: ConversationItem) -> str:
        if item.id is None:
            item.id, item.previous = self._next_ids()
        return item.id

    def _next_ids(self) -> tuple[str, str | None]:
        """A new item's id, and that of the one before it."""
        previous, self._newest_id = self._newest_id, new_id("item")
        return self._newest_id, previous

    def _leave(self, item: ConversationItem) -> None:
        if self._current is item:
            self._current = None


def _joined(before: str, after: str) -> str:
    return before + separator(before, after) + after


def _is_long(item: ConversationItem) -> bool:
    return item.end_s - item.start_s > LONGEST_S


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
