"""Opens a chat log in any of the formats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
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
    if any(each.time_s != each.sent_at for each in messages):
        known, shifted = None, _relative(messages, report)
    else:
        known = min(each.time_s for each in messages) if origin is None else origin
        shifted = [replace(each, time_s=each.time_s - known) for each in messages]
    return ChatLog(tuple(sorted(shifted, key=lambda each: each.time_s)), known, report)


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


def _relative(messages: list[ChatMessage], report: ReadReport) -> list[ChatMessage]:
    """Those with relative times. The few absolute ones of a mixed log have no place on its clock."""
    kept = [each for each in messages if each.time_s != each.sent_at]
    for each in messages:
        if each.time_s == each.sent_at:
            report.reject("with an absolute time among relative ones", f"at {each.sent_at:.0f}", each.text)
    report.messages = len(kept)
    return kept


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
