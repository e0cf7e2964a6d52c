"""Opens a chat log in any of the formats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median_low
from typing import Literal

from steno.archive.chat.chat_message import ChatMessage, ReadReport
from steno.archive.chat.table_chat import TableColumns, read_csv, read_jsonl
from steno.archive.chat.text_chat import read_text
from steno.archive.chat.twitch_chat import read_twitch
from steno.errors import InvalidRequestError

ChatFormat = Literal["twitch", "csv", "jsonl", "text"]

BY_SUFFIX: dict[str, ChatFormat] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "text",
    ".log": "text",
}

MAX_FROM_MEDIAN_S = 30 * 86_400.0
"""Absolute times farther from their median are strays: a clock that was not set, an export's default date."""


@dataclass(frozen=True, slots=True)
class ChatLog:
    """The messages of a log, in order of time."""

    messages: tuple[ChatMessage, ...]
    origin: float | None
    """Unix time of second 0 of the chat's clock; None = the log has relative times."""
    report: ReadReport


def load_chat(
    path: Path,
    chat_format: ChatFormat | None = None,
    columns: TableColumns | None = None,
    origin: float | None = None,
) -> ChatLog:
    """Read a log, and put its messages on one clock.

    Args:
        origin: Unix time that becomes second 0 of the chat's clock: when the recording began, if that is known.
            None = the first message. Not used for relative times.

    Raises:
        InvalidRequestError: a column is missing, or no entry could be used.
        UnsupportedFeatureError: the format needs a package that is not installed.
        OSError: the file cannot be read.
    """
    report = ReadReport()
    messages = list(read_chat(path, report, chat_format, columns))
    if not messages:
        reasons = "; ".join(report.warnings()) or "it is empty"
        raise InvalidRequestError(f"{path.name} has no chat message: {reasons}", param="chat")
    kept, is_absolute = _of_one_kind(messages, report)
    known = None
    if is_absolute:
        kept = _of_one_stream(kept, report)
        known = min(each.time_s for each in kept) if origin is None else origin
        kept = [replace(each, time_s=each.time_s - known) for each in kept]
    report.messages = len(kept)
    return ChatLog(tuple(sorted(kept, key=lambda each: each.time_s)), known, report)


def read_chat(
    path: Path, report: ReadReport, chat_format: ChatFormat | None = None, columns: TableColumns | None = None
) -> Iterator[ChatMessage]:
    """Yield a log's messages as it is read; absolute times stay Unix times. Raises as `load_chat`."""
    return report.counted(_entries(path, chat_format or format_of(path), columns or TableColumns(), report))


def format_of(path: Path) -> ChatFormat:
    """The format by the file's suffix; of `.json` by its content."""
    known = BY_SUFFIX.get(path.suffix.lower())
    if known is not None:
        return known
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline(1 << 16).lstrip("\ufeff").strip()
    if not first.startswith("{"):
        return "text"
    return "jsonl" if _is_object(first) and '"comments"' not in first else "twitch"


def _entries(path: Path, chat_format: ChatFormat, columns: TableColumns, report: ReadReport) -> Iterator[ChatMessage]:
    if chat_format == "twitch":
        with path.open("rb") as binary:
            yield from read_twitch(binary, report)
        return
    with path.open(encoding="utf-8", errors="replace", newline="" if chat_format == "csv" else None) as lines:
        if chat_format == "csv":
            yield from read_csv(lines, columns, report)
        elif chat_format == "jsonl":
            yield from read_jsonl(lines, columns, report)
        else:
            yield from read_text(lines, report)


def _of_one_kind(messages: list[ChatMessage], report: ReadReport) -> tuple[list[ChatMessage], bool]:
    """Those with the kind of time that most have, and whether it is absolute. The others have no place on its clock."""
    absolute = [each for each in messages if each.time_s == each.sent_at]
    relative = [each for each in messages if each.time_s != each.sent_at]
    if len(absolute) > len(relative):
        for each in relative:
            report.reject("with a relative time among absolute ones", f"at {each.time_s:g}", each.text)
        return absolute, True
    for each in absolute:
        report.reject("with an absolute time among relative ones", f"at {each.time_s:.0f}", each.text)
    return relative, False


def _of_one_stream(messages: list[ChatMessage], report: ReadReport) -> list[ChatMessage]:
    """Those within `MAX_FROM_MEDIAN_S`. A stray date would be the first message, from which the clock counts."""
    middle = median_low(each.time_s for each in messages)
    kept = [each for each in messages if abs(each.time_s - middle) <= MAX_FROM_MEDIAN_S]
    for each in messages:
        if abs(each.time_s - middle) > MAX_FROM_MEDIAN_S:
            report.reject("with a date far from the others'", f"at {each.time_s:.0f}", each.text)
    return kept


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
