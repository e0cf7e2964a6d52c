"""Times in chat logs: ISO 8601, Unix seconds, milliseconds or microseconds, seconds, and `hh:mm:ss`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

TimeKind = Literal["auto", "absolute", "relative"]

FIRST_EPOCH_S = 5e8
"""A larger number is a Unix time (1985), a smaller one seconds of a recording (16 years)."""
MILLISECONDS_FROM, MICROSECONDS_FROM = 5e10, 5e13
"""Numbers from here on are no Unix seconds (year 3554), and no Unix milliseconds."""

_CLOCK = re.compile(r"(-?)(?:(\d{1,4}):)?(\d{1,3}):(\d{2}(?:[.,]\d{1,9})?)")


@dataclass(frozen=True, slots=True)
class MessageTime:
    """A time as a log has it."""

    seconds: float
    absolute: bool
    """Whether `seconds` are Unix time."""


def parse_time(value: object, kind: TimeKind = "auto") -> MessageTime | None:
    """The time that a field holds; None if it holds none. Times without a zone are UTC."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        try:
            return _of_number(float(value), kind)
        except OverflowError:
            return None
    text = str(value).strip()
    try:
        return _of_number(float(text), kind)
    except ValueError:
        pass
    if kind != "absolute" and (clock := parse_clock(text)) is not None:
        return MessageTime(clock, absolute=False)
    return None if kind == "relative" else _of_iso(text)


def parse_clock(text: str) -> float | None:
    """Seconds of `hh:mm:ss`, `mm:ss` and their fractions."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    sign, hours, minutes, seconds = found.groups()
    total = int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))
    return -total if sign else total


def _of_number(number: float, kind: TimeKind) -> MessageTime | None:
    if not math.isfinite(number):
        return None
    if kind == "relative" or (kind == "auto" and number < FIRST_EPOCH_S):
        return MessageTime(number, absolute=False)
    if number >= MICROSECONDS_FROM:
        return MessageTime(number / 1e6, absolute=True)
    return MessageTime(number / 1e3 if number >= MILLISECONDS_FROM else number, absolute=True)


def _of_iso(text: str) -> MessageTime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return MessageTime(moment.timestamp(), absolute=True)
