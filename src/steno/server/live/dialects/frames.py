"""Frame parsing and number formatting shared by the dialects."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from steno.server.live.dialects.base import LargeFrame

MAX_JSON_BYTES = 64 * 1024
"""Max bytes of parsed JSON: 1 to 2 ms at worst. The parser holds the GIL, so a thread would not help."""

AUDIO = '"audio"'
DECODE_CHARS = 128 * 1024
"""Base64 characters decoded at once, in 0.1 ms. A multiple of 4."""


def object_of(frame: str) -> Mapping[str, Any] | None:
    """The JSON object in a text frame; None if it is not a JSON object."""
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def take_apart(frame: str) -> LargeFrame:
    """Split a long frame with audio, in linear time. Call it in a thread; it releases the GIL between slices."""
    opening = frame.find('"', frame.find(AUDIO) + len(AUDIO))
    closing = frame.find('"', opening + 1)
    before, after = frame[: opening + 1], frame[closing:]
    is_string = before[before.find(AUDIO) + len(AUDIO) : -1].strip() == ":"
    if not is_string or closing < 0 or len(before) + len(after) > MAX_JSON_BYTES:
        return LargeFrame("", None)
    return LargeFrame(before + after, audio_of(frame[opening + 1 : closing]))


def audio_of(text: str) -> bytes | None:
    """The bytes of a base64 string; None if it is invalid. JSON may write a slash as `\\/`."""
    text = text.replace("\\/", "/")
    parts = []
    for start in range(0, len(text), DECODE_CHARS):
        part = text[start : start + DECODE_CHARS]
        if "=" in part and start + DECODE_CHARS < len(text):
            return None
        try:
            parts.append(base64.b64decode(part, validate=True))
        except (ValueError, binascii.Error):
            return None
    return b"".join(parts)


def rounded(seconds: float) -> float:
    """Seconds rounded for the wire, so that adjacent ranges stay adjacent."""
    return round(seconds, 4)
