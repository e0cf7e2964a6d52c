"""The content of the result files of the stages `chat` and `aligned`."""

from __future__ import annotations

from steno.archive.chat.chat_message import ChatMessage
from steno.archive.manifest import ChatClock
from steno.archive.stage_files import StageFile


class ChatMessages(StageFile):
    """Result of the stage `chat`: the log's messages, on the chat's clock, in order of time."""

    messages: tuple[ChatMessage, ...]
    origin: float | None
    """Unix time of second 0 of the chat's clock; None = the log has relative times."""


class AlignedChat(StageFile):
    """Result of the stage `aligned`: the messages on the recording's clock, in order of time."""

    clock: ChatClock
    """What they were placed by."""
    messages: tuple[ChatMessage, ...]
    """Empty if the clock was not found."""
