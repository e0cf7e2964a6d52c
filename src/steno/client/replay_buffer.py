"""Keeps a stream's audio for resending, and tracks its events over all connections. No socket, no clock.

    |——— dropped ———|——— kept for resending ———|——— not sent yet ———|
                    start                      sent                 end

A lost connection is resumed where the last final ended: the server keeps no state, and from there it gets the same
audio as before. Positions are in bytes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

from steno.client.connection_speakers import ConnectionSpeakers
from steno.client.exceptions import ConnectionLostError, ServerError, error_of
from steno.client.messages import Event, Final, Partial, changes_of, final_of, partial_of
from steno.client.stream_options import StreamOptions
from steno.errors import StenoError

KEPT_S = 60.0
"""Max audio without a final that the consumer has taken; beyond it reading pauses. Twice a server's max segment."""
FRAME_S = 0.5
PING_S = 5.0
"""Interval, in audio, of pings that ask the server to confirm what it has processed."""
SILENT_S = 10.0
LAG_S = 6.0
"""A server emits no event for silence. But it reports within 5 s that it lags by 3 s, and it processes the audio before
a ping before it sends the pong. So if a pong came, no lag was reported for `LAG_S`, and no partial is open, all audio
but the last `SILENT_S` was silence and need not be kept."""
STEP_S = 0.48
"""15 frames of the server's VAD. Resending from a multiple of it gives the VAD the same frames as before."""
CONTAINER_BYTES = 1 << 17

log = logging.getLogger("steno.client")


class ReplayBuffer:
    """The replay buffer of one stream, with at most one connection at a time."""

    def __init__(self, options: StreamOptions) -> None:
        self._options = options
        self._audio = bytearray()
        self._start = self._sent = 0
        self._final_end = self._taken_end = self._silent_until = 0
        self._pings: deque[int] = deque()
        """Positions of the pings without a pong."""
        self._pinged = 0
        self._lag_at = float("-inf")
        self._open: dict[int, int] = {}
        """Start positions of segments with partials and no final."""
        self._shown: Partial | None = None
        self._errors: dict[int, StenoError] = {}
        self._speakers = ConnectionSpeakers()
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
        """End of the audio whose text the consumer has taken, or that is silent."""
        return max(self._taken_end, self._silent_until) if self._taken_end == self._final_end else self._taken_end

    @property
    def is_complete(self) -> bool:
        """Whether all audio was sent and has its final."""
        return self.ended and self._end == self._sent == self._final_end

    def append(self, data: bytes | memoryview) -> None:
        self._audio += data

    def next_frame(self) -> bytes:
        """Take the next frame to send; empty = none for now."""
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
        """Rewind to where a new connection must start; return its query.

        Raises:
            ConnectionLostError: a container cannot be resumed.
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
        self._speakers.begin_connection()
        offset_s = self._options.offset_s + self._sent // width / self._options.sample_rate
        return self._options.query(offset_s, self._cues + 1)

    def handle(self, message: Mapping[str, Any], now: float) -> Event | None:
        """Process a server's message; return the consumer's event, if any. `now` in seconds.

        Raises:
            StenoError: the server reported an error.
        """
        try:
            if message.get("is_partial"):
                return self._partial(partial_of(message, self._first_id))
            if message.get("is_final"):
                error = self._errors.pop(message["segment_id"], None)
                return self._final(final_of(message, self._first_id, error, self._speakers.name))
            if message.get("status") == "speakers":
                return changes_of(message, self._first_id, self._speakers.name)
            self._handle_status(message, now)
        except (KeyError, TypeError, AttributeError):
            raise ServerError("invalid message; expected one of steno's live protocol") from None
        return None

    def mark_taken(self, event: Event) -> None:
        """The consumer has taken this event."""
        if isinstance(event, Final):
            self._taken_end = self._position(event.end_s)

    @property
    def _end(self) -> int:
        return self._start + len(self._audio)

    def _partial(self, partial: Partial) -> Partial | None:
        self._open[partial.segment_id] = self._position(partial.start_s)
        shown = self._shown
        if shown is not None and shown.segment_id == partial.segment_id and partial.end_s < shown.end_s:
            return None  # a new connection has not reached the end of the previous one yet
        self._shown = partial
        return partial

    def _final(self, final: Final) -> Final:
        self._next_id = final.segment_id + 1
        self._open = {segment: begin for segment, begin in self._open.items() if segment >= self._next_id}
        self._final_end = max(self._position(final.end_s), self._final_end)
        self._cues += (final.caption or "").count("-->")
        self._forget_before(self._final_end)
        return final

    def _handle_status(self, message: Mapping[str, Any], now: float) -> None:
        match message.get("status"):
            case "error" if "segment_id" in message:
                self._errors[message["segment_id"]] = error_of(message)
            case "error":
                raise error_of(message)
            case "lag":
                self._lag_at = now
                log.info("the server is %.1f s behind", message["behind_s"])
            case "pong" if self._pings:
                self._acknowledge(self._pings.popleft(), now)
            case "connected" if message.get("ignored"):
                log.warning("the server ignores %s", ", ".join(message["ignored"]))

    def _acknowledge(self, until: int, now: float) -> None:
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
