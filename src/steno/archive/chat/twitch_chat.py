"""TwitchDownloader's JSON (https://github.com/lay295/TwitchDownloader), read as a stream.

The file may have gigabytes of embedded emotes after the comments; none of it is kept in memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

from steno.archive.chat.chat_message import ChatMessage, ReadReport
from steno.archive.chat.message_times import parse_time
from steno.errors import UnsupportedFeatureError

MAX_ESCAPE_BYTES = 12
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F])[0-9a-fA-F]{2}|.)", re.DOTALL
)
"""An escape, or two that are a surrogate pair; the group is half of a pair."""


def read_twitch(file: IO[bytes], report: ReadReport) -> Iterator[ChatMessage]:
    """Yield the comments. A file that ends early yields those before its end, and a rejected entry.

    Raises:
        UnsupportedFeatureError: the package `ijson` is not installed.
    """
    try:
        import ijson
    except ImportError:
        raise UnsupportedFeatureError("TwitchDownloader's JSON needs ijson: pip install 'steno[archive]'") from None
    number = 0
    try:
        # Not `use_float`: it ends at an integer of more than 64 bits.
        for number, comment in enumerate(ijson.items(_WholePairs(file), "comments.item"), start=1):
            message = _message_of(comment, f"comment {number}", report)
            if message is not None:
                yield message
    except (ijson.JSONError, ValueError) as error:
        report.reject("the file is damaged or ends early", f"after comment {number}", str(error))


class _WholePairs:
    """A file of JSON with `\\ufffd` for halves of surrogate pairs, at which ijson fails."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        given = b""
        while not given and size:
            data = self._file.read(size)
            buffer = self._rest + data
            given, self._rest = (buffer, b"") if not data or size < 0 else _cut(buffer)
            given = _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], given)
            if not data:
                break
        return given


def _cut(buffer: bytes) -> tuple[bytes, bytes]:
    """The bytes in two; no escape is in both."""
    limit = max(len(buffer) - MAX_ESCAPE_BYTES, 0)
    for found in _ESCAPE.finditer(buffer):
        if found.start() >= limit:
            break
        limit = max(limit, found.end())
    return buffer[:limit], buffer[limit:]


def _message_of(comment: object, place: str, report: ReadReport) -> ChatMessage | None:
    if not isinstance(comment, dict):
        report.reject("not an object", place, _shown(comment))
        return None
    offset = parse_time(comment.get("content_offset_seconds"), "relative")
    if offset is None:
        report.reject("without content_offset_seconds", place, _shown(comment))
        return None
    message = _part(comment, "message")
    text, emotes = _text_of(message)
    if not text:
        report.reject("without text", place, _shown(comment))
        return None
    commenter = _part(comment, "commenter")
    sent = parse_time(comment.get("created_at"), "absolute")
    shown = str(commenter.get("display_name") or "")
    author = str(commenter.get("name") or shown or comment.get("commenter_id") or "")
    return ChatMessage(
        offset.seconds,
        author,
        text,
        emotes,
        sent.seconds if sent is not None else None,
        shown if shown.casefold() != author.casefold() else "",
    )


def _text_of(message: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The text, and its emotes: by `fragments`, or by the character ranges in `emoticons`."""
    body = message.get("body")
    fragments = [each for each in _list(message, "fragments") if isinstance(each.get("text"), str)]
    text = body if isinstance(body, str) else "".join(each["text"] for each in fragments)
    emotes = tuple(each["text"].strip() for each in fragments if each.get("emoticon"))
    if not emotes:
        emotes = tuple(_ranges(text, _list(message, "emoticons")))
    return text.strip(), emotes


def _ranges(text: str, emoticons: list[dict[str, Any]]) -> Iterator[str]:
    bounds = [(each.get("begin"), each.get("end")) for each in emoticons]
    valid = sorted((a, b) for a, b in bounds if isinstance(a, int) and isinstance(b, int) and 0 <= a <= b)
    for begin, end in valid:
        if name := text[begin : end + 1].strip():
            yield name


def _part(comment: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = comment.get(name)
    return part if isinstance(part, dict) else {}


def _list(message: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    part = message.get(name)
    return [each for each in part if isinstance(each, dict)] if isinstance(part, list) else []


def _shown(comment: object) -> str:
    return json.dumps(comment, default=str)
