"""What a dialect is: its own frames in, commands out; events in, its own messages out. No socket, no clock, no audio.

`server/live/live_socket.py` drives any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from steno.errors import InvalidRequestError, StenoError
from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.notices import LiveEvent

Message: TypeAlias = dict[str, Any]
"""A JSON object, sent as one text frame."""


class InvalidJsonError(InvalidRequestError):
    """A text frame is not a JSON object."""

    code = "invalid_json"


@dataclass(frozen=True, slots=True)
class AudioInput:
    data: bytes


@dataclass(frozen=True, slots=True)
class Flush:
    """End the segment here; a `Final` with the reason `flush` will come."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Discard the segment that is being spoken."""


@dataclass(frozen=True, slots=True)
class Configure:
    """Go on with these options, which were checked."""

    options: LiveOptions


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this, after all that came of the commands before it."""

    message: Message
    is_complaint: bool = False
    """The frame was wrong; a client that goes on sending such frames is sent away."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The client is there, though it says nothing."""


@dataclass(frozen=True, slots=True)
class Close:
    """Recognise what is left, say farewell, and close."""


Command: TypeAlias = AudioInput | Flush | Reset | Configure | Reply | KeepAlive | Close


@dataclass(frozen=True, slots=True)
class LargeFrame:
    """A text frame that is too long to be parsed on the event loop, taken apart (`frames.take_apart`)."""

    rest: str
    """The frame without what its string `audio` holds; empty where that leaves it too long."""
    audio: bytes | None
    """What the string `audio` holds, decoded; None: that is not base64."""


Frame: TypeAlias = str | bytes | LargeFrame


@dataclass(frozen=True, slots=True)
class Handshake:
    """A client's request to connect."""

    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    """By lower-case name."""
    subprotocols: Sequence[str]


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a dialect may know of the server.

    `check` returns options as they will be used, or raises an `InvalidRequestError` that names what is wrong with them;
    `check_model` returns the served model's id, or raises `UnknownModelError`.
    """

    session_id: str
    model_id: str
    max_segment_s: float
    """No segment is longer."""
    check: Callable[[LiveOptions], LiveOptions]
    check_model: Callable[[str | None], str]


class Dialect(Protocol):
    """One client's conversation. Nothing in it raises for what a client sends: it answers with a `Reply`."""

    @property
    def ignored(self) -> Sequence[str]:
        """Hints of the client, by its own names for them, that the recogniser does not use."""

    @property
    def options(self) -> LiveOptions:
        """Those that the connection begins with."""

    def greeting(self) -> Sequence[Message]:
        """Sent first."""

    def receive(self, frame: Frame) -> Sequence[Command]:
        """What a frame of the client wants done, in order."""

    def encode(self, event: LiveEvent) -> Sequence[Message]:
        """What the client is told of an event; nothing of most."""

    def farewell(self, audio_s: float) -> Sequence[Message]:
        """Sent last, after all events, when the client asked to close; `audio_s`: what it has sent in all."""

    def complaint(self, error: StenoError) -> Sequence[Message]:
        """Sent before the server closes of its own accord."""


class DialectFactory(Protocol):
    """A dialect's way in."""

    name: str
    idle_s: float | None
    """After so long without a frame the server closes; None = the server's setting."""
    max_text_bytes: int
    """The longest text frame; a longer one ends the session with close code 1009. One of more than
    `frames.MAX_JSON_BYTES` comes as a `LargeFrame`."""

    def key_of(self, handshake: Handshake) -> str | None:
        """The API key, wherever this vendor's clients put it."""

    def subprotocol_of(self, handshake: Handshake) -> str | None:
        """The one to agree on; never one with a key in it."""

    def open(self, handshake: Handshake, opening: ServerFacts) -> Dialect:
        """Begin a conversation.

        Raises:
            InvalidRequestError: an option that is unknown, wrong or not to be had here; it is named.
        """

    refuses_over_socket: bool
    """Whether who is refused gets to read why over the socket, which then is closed; else from the HTTP answer. (A
    browser's script sees nothing of the latter.)"""

    def refusal(self, error: StenoError, request_id: str) -> Message:
        """What is said to whom is not let in."""

    def headers(self, request_id: str, error: StenoError | None = None) -> Mapping[str, str]:
        """In the handshake's answer; `error`: why it is refused."""
