"""What has been sent of a stream's audio and what has come of it, over all its connections. No socket, no clock.

    |——— forgotten ———|——— kept, should it have to be sent again ———|——— waits to be sent ———|
                      start                                         sent                     end

A lost connection is taken up where the last final ended: the server keeps nothing, and from there it hears the same
audio as before. Positions in here are bytes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

from steno.client.exceptions import ConnectionLostError, ServerError, error_of
from steno.client.messages import Event, Final, Partial, final_of, partial_of
from steno.client.stream_options import StreamOptions
from steno.errors import StenoError

KEPT_S = 60.0
"""Audio that may wait for its final, or for the consumer to take it; beyond that no more is read. Twice the longest
segment of a server."""
FRAME_S = 0.5
PING_S = 5.0
"""Of audio: so often the server is asked how far it has heard."""
SILENT_S = 10.0
LAG_S = 6.0
"""A server tells nothing of silence. But it tells within 5 s that it is 3 s behind, and it hears what comes before a
ping before it answers it. So where it has answered, told no lag for `LAG_S`, and no partial is open, all but the last
`SILENT_S` was silence, and is not needed again."""
STEP_S = 0.48
"""Fifteen frames of the server's VAD: begun anew at a multiple of that, it hears the very frames as before."""
CONTAINER_BYTES = 1 << 17

log = logging.getLogger("steno.client")


class ReplayBuffer:
    """See the module. One stream's; at most one connection at a time."""

    def __init__(self, options: StreamOptions) -> None:
        self._options = options
        self._audio = bytearray()
        self._start = self._sent = 0
        self._final_end = self._taken_end = self._silent_until = 0
        self._pings: deque[int] = deque()
        """Where those were sent that have no answer yet."""
        self._pinged = 0
        self._lag_at = float("-inf")
        self._open: dict[int, int] = {}
        """Where segments begin that have partials and no final."""
        self._shown: Partial | None = None
        self._errors: dict[int, StenoError] = {}
        self._first_id = self._next_id = 0
        self._cues = 0
        self.ended = False
        """Set once all audio is in."""

    @property
    def has_room(self) -> bool:
        if self._options.bytes_per_sample is None:
            return self._end - self._sent < CONTAINER_BYTES
        return self._end - self.confirmed < self._bytes(KEPT_S)

    @property
    def confirmed(self) -> int:
        """All before it is done with: the consumer has its text, or there is none in it."""
        return max(self._taken_end, self._silent_until) if self._taken_end == self._final_end else self._taken_end

    @property
    def is_complete(self) -> bool:
        """Whether nothing can come any more."""
        return self.ended and self._end == self._sent == self._final_end

    def append(self, data: bytes | memoryview) -> None:
        self._audio += data

    def next_frame(self) -> bytes:
        """What is to be sent next, and is sent by that; empty = nothing for now."""
        size = self._bytes(FRAME_S) if self._options.bytes_per_sample else CONTAINER_BYTES
        begin = self._sent - self._start
        frame = bytes(self._audio[begin : begin + size])
        self._sent += len(frame)
        if self._options.bytes_per_sample is None:
            self._forget_before(self._sent)
        return frame

    def ping_is_due(self) -> bool:
        return self._options.bytes_per_sample is not None and self._sent - self._pinged >= self._bytes(PING_S)

    def pinged(self) -> None:
        self._pinged = self._sent
        self._pings.append(self._sent)

    def begin_connection(self) -> str:
        """Go back to where a new connection has to begin; returns its query.

        Raises:
            ConnectionLostError: a container cannot be entered in the middle.
        """
        width = self._options.bytes_per_sample
        if width is None:
            if self._sent:
                text = f"the connection was lost, and {self._options.encoding} cannot be resumed; raw audio can"
                raise ConnectionLostError(text)
            return self._options.query(self._options.offset_s, first_cue=1)
        self._sent = self._pinged = max(self._final_end, self._start)
        self._pings.clear()
        self._open.clear()
        self._errors.clear()
        self._lag_at = float("-inf")
        self._first_id = self._next_id
        offset_s = self._options.offset_s + self._sent // width / self._options.sample_rate
        return self._options.query(offset_s, self._cues + 1)

    def hear(self, message: Mapping[str, Any], now: float) -> Event | None:
        """What the consumer is to be told of a server's message; `now` in seconds.

        Raises:
            StenoError: what the server says that is wrong.
        """
        try:
            if message.get("is_partial"):
                return self._partial(partial_of(message, self._first_id))
            if message.get("is_final"):
                error = self._errors.pop(message["segment_id"], None)
                return self._final(final_of(message, self._first_id, error))
            self._note(message, now)
        except (KeyError, TypeError, AttributeError):
            raise ServerError("the server's messages are not those of a live stream of steno") from None
        return None

    def took(self, event: Event) -> None:
        """The consumer has this."""
        if isinstance(event, Final):
            self._taken_end = self._position(event.end_s)

    @property
    def _end(self) -> int:
        return self._start + len(self._audio)

    def _partial(self, partial: Partial) -> Partial | None:
        self._open[partial.segment_id] = self._position(partial.start_s)
        shown = self._shown
        if shown is not None and shown.segment_id == partial.segment_id and partial.end_s < shown.end_s:
            return None  # a new connection has not come as far as the one before it
        self._shown = partial
        return partial

    def _final(self, final: Final) -> Final:
        self._next_id = final.segment_id + 1
        self._open = {segment: begin for segment, begin in self._open.items() if segment >= self._next_id}
        self._final_end = max(self._position(final.end_s), self._final_end)
        self._cues += (final.caption or "").count("-->")
        self._forget_before(self._final_end)
        return final

    def _note(self, message: Mapping[str, Any], now: float) -> None:
        match message.get("status"):
            case "error" if "segment_id" in message:
                self._errors[message["segment_id"]] = error_of(message)
            case "error":
                raise error_of(message)
            case "lag":
                self._lag_at = now
                log.info("the server is %.1f s behind", message["behind_s"])
            case "pong" if self._pings:
                self._heard(self._pings.popleft(), now)
            case "connected" if message.get("ignored"):
                log.warning("the server ignores %s", ", ".join(message["ignored"]))

    def _heard(self, until: int, now: float) -> None:
        if self._options.bytes_per_sample is None or now - self._lag_at < LAG_S:
            return
        silent = min([until - self._bytes(SILENT_S), *self._open.values()])
        self._silent_until = max(silent, self._silent_until)
        too_old = min(self._silent_until, self._end - self._bytes(KEPT_S))
        self._forget_before(max(self._final_end, too_old - too_old % self._bytes(STEP_S)))

    def _forget_before(self, position: int) -> None:
        count = min(position, self._sent) - self._start
        if count > 0:
            del self._audio[:count]
            self._start += count

    def _bytes(self, seconds: float) -> int:
        return round(seconds * self._options.sample_rate) * (self._options.bytes_per_sample or 1)

    def _position(self, time_s: float) -> int:
        if self._options.bytes_per_sample is None:
            return 0
        return min(max(self._bytes(time_s - self._options.offset_s), 0), self._sent)
