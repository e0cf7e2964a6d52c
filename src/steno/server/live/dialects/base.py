"""The protocol of a dialect: frames in, commands out; events in, messages out. Sans-IO: no socket, no clock, no audio.

`server/live/live_socket.py` drives the dialects.
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
    """End the segment here. A `Final` with the reason `flush` follows."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Discard the open segment."""


@dataclass(frozen=True, slots=True)
class Configure:
    """Use other options, already validated, from here on."""

    options: LiveOptions


@dataclass(frozen=True, slots=True)
class Reply:
    """Send a message after the results of all earlier commands."""

    message: Message
    is_complaint: bool = False
    """The frame was invalid. A client that keeps sending invalid frames is disconnected."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The client is alive but sends no audio."""


@dataclass(frozen=True, slots=True)
class Close:
    """Recognise the remaining audio, send the closing message, and close."""


Command: TypeAlias = AudioInput | Flush | Reset | Configure | Reply | KeepAlive | Close


@dataclass(frozen=True, slots=True)
class LargeFrame:
    """A text frame that is too long to be parsed on the event loop, split by `frames.take_apart`."""

    rest: str
    """The frame without the value of `audio`; empty if it is still too long."""
    audio: bytes | None
    """The decoded value of `audio`; None if it is not base64."""


Frame: TypeAlias = str | bytes | LargeFrame


@dataclass(frozen=True, slots=True)
class Handshake:
    """A client's request to connect."""

    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    """Header values by lower-case name."""
    subprotocols: Sequence[str]


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The facts about the server that a dialect needs.

    `check` returns the options that will be used, or raises an `InvalidRequestError` that names the invalid one;
    `check_model` returns the served model's id, or raises `UnknownModelError`.
    """

    session_id: str
    model_id: str
    max_segment_s: float
    """Max segment length."""
    check: Callable[[LiveOptions], LiveOptions]
    check_model: Callable[[str | None], str]


class Dialect(Protocol):
    """One client's conversation. Never raises for client input: invalid input yields a `Reply`."""

    @property
    def ignored(self) -> Sequence[str]:
        """Hints that the recogniser does not use, by the client's names for them."""

    @property
    def options(self) -> LiveOptions:
        """Options at the start of the connection."""

    @property
    def follows_progress(self) -> bool:
        """Whether `encode` uses `AudioProgress`."""

    def greeting(self) -> Sequence[Message]:
        """The first message."""

    def receive(self, frame: Frame) -> Sequence[Command]:
        """The commands of a client's frame, in order."""

    def encode(self, event: LiveEvent) -> Sequence[Message]:
        """The messages for an event; most events have none."""

    def outgoing(self, message: Message) -> Message:
        """The message as it is sent. Called once for each, in the order in which they are sent."""

    def farewell(self, audio_s: float) -> Sequence[Message]:
        """The last message if the client asked to close. `audio_s`: seconds of audio received."""

    def complaint(self, error: StenoError) -> Sequence[Message]:
        """The last message if the server closes."""


class DialectFactory(Protocol):
    """Opens conversations of one dialect."""

    name: str
    idle_s: float | None
    """Max seconds without a frame; None = the server's setting."""
    max_text_bytes: int
    """Max bytes of a text frame; a longer one ends the session with close code 1009. One of more than
    `frames.MAX_JSON_BYTES` comes as a `LargeFrame`."""

    def key_of(self, handshake: Handshake) -> str | None:
        """The API key, from where this vendor's clients put it."""

    def subprotocol_of(self, handshake: Handshake) -> str | None:
        """The subprotocol to accept; never one that contains a key."""

    def open(self, handshake: Handshake, opening: ServerFacts) -> Dialect:
        """Begin a conversation.

        Raises:
            InvalidRequestError: an option is unknown, invalid or not supported.
        """

    refuses_over_socket: bool
    """Whether a refusal is sent over the socket, which is then closed, and not in the HTTP response, which a browser's
    script cannot read."""

    def refusal(self, error: StenoError, request_id: str) -> Message:
        """The message for a refused client."""

    def headers(self, request_id: str, error: StenoError | None = None) -> Mapping[str, str]:
        """Headers of the handshake response. `error`: the reason of a refusal."""
