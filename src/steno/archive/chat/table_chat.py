"""Chat in CSV and JSONL, with columns by name."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from steno.archive.chat.chat_message import ChatMessage, ReadReport
from steno.archive.chat.message_times import TimeKind, parse_time
from steno.errors import InvalidRequestError

TIME_COLUMNS = ("time", "timestamp", "created_at", "sent_at", "date", "datetime", "offset", "time_s", "seconds")
AUTHOR_COLUMNS = ("author", "user", "username", "name", "commenter", "user_name", "sender", "nick")
TEXT_COLUMNS = ("text", "message", "body", "content", "comment")
MAX_FIELD = 1 << 20
"""Characters; the csv module's own limit is 131,072."""


@dataclass(frozen=True, slots=True)
class TableColumns:
    """Names of the columns. None = the first of the usual names that the log has."""

    time: str | None = None
    author: str | None = None
    text: str | None = None
    time_kind: TimeKind = "auto"


def read_csv(lines: Iterable[str], columns: TableColumns, report: ReadReport) -> Iterator[ChatMessage]:
    """Yield the rows of a CSV with a header; `,`, `;` and tab separate.

    Raises:
        InvalidRequestError: the header lacks a column.
    """
    rest = iter(lines)
    header = next(rest, "").lstrip("\ufeff")
    delimiter = max(",;\t", key=header.count)
    names = next(csv.reader([header], delimiter=delimiter), [])
    chosen = _chosen(names, columns)
    csv.field_size_limit(MAX_FIELD)
    rows = csv.reader(rest, delimiter=delimiter)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            report.reject("not CSV", f"line {rows.line_num + 1}", str(error))
            continue
        place = f"line {rows.line_num + 1}"
        if len(row) != len(names):
            if row:
                report.reject("with another number of columns", place, delimiter.join(row))
            continue
        message = _message_of(dict(zip(names, row, strict=True)), chosen, place, report)
        if message is not None:
            yield message


def read_jsonl(lines: Iterable[str], columns: TableColumns, report: ReadReport) -> Iterator[ChatMessage]:
    """Yield the objects of a JSONL file. Raises InvalidRequestError: the first object lacks a column."""
    chosen: TableColumns | None = None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line.lstrip("\ufeff"))
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            report.reject("not a JSON object", f"line {number}", line)
            continue
        chosen = chosen or _chosen(list(entry), columns)
        message = _message_of(entry, chosen, f"line {number}", report)
        if message is not None:
            yield message


def _chosen(names: list[str], columns: TableColumns) -> TableColumns:
    return TableColumns(
        _column(names, columns.time, TIME_COLUMNS, "time"),
        _column(names, columns.author, AUTHOR_COLUMNS, "author"),
        _column(names, columns.text, TEXT_COLUMNS, "text"),
        columns.time_kind,
    )


def _column(names: list[str], asked: str | None, usual: tuple[str, ...], role: str) -> str:
    by_name = {name.strip().lower(): name for name in names}
    for candidate in (asked,) if asked is not None else usual:
        if candidate.lower() in by_name:
            return by_name[candidate.lower()]
    wanted = repr(asked) if asked is not None else f"any of {', '.join(usual)}"
    raise InvalidRequestError(
        f"the chat log has no column {wanted} for the {role}; it has {', '.join(names)}", param=f"{role}_column"
    )


def _message_of(entry: Mapping[str, Any], columns: TableColumns, place: str, report: ReadReport) -> ChatMessage | None:
    assert columns.time is not None
    assert columns.author is not None
    assert columns.text is not None
    moment = parse_time(entry.get(columns.time), columns.time_kind)
    text = entry.get(columns.text)
    if moment is None:
        report.reject("without a time", place, _shown(entry))
    elif not isinstance(text, str) or not text.strip():
        report.reject("without text", place, _shown(entry))
    else:
        sent_at = moment.seconds if moment.absolute else None
        return ChatMessage(moment.seconds, str(entry.get(columns.author) or ""), text.strip(), sent_at=sent_at)
    return None


def _shown(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False, default=str)
