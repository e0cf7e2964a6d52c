"""Plain chat text: `[hh:mm:ss] name: text`, `mm:ss name: text`, `[2026-05-01 18:00:03] <name> text`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from steno.archive.chat.chat_message import ChatMessage, ReadReport
from steno.archive.chat.message_times import parse_time

_LINE = re.compile(
    r"""\s*(?:\[(?P<bracketed>[^\]]{1,40})\]|(?P<bare>-?\d[\d:.,]*:\d\d(?:[.,]\d+)?))\s*
        (?:<(?P<angled>[^<>]{1,100})>|(?P<name>[^:<\s][^:]{0,99}):)\s+(?P<text>\S.*)""",
    re.VERBOSE,
)


def read_text(lines: Iterable[str], report: ReadReport) -> Iterator[ChatMessage]:
    """Yield the lines that have a time, a name and a text."""
    for number, line in enumerate(lines, start=1):
        entry = line.strip().lstrip("\ufeff")
        if not entry:
            continue
        found = _LINE.fullmatch(entry)
        if found is None:
            report.reject("not `[hh:mm:ss] name: text`", f"line {number}", entry)
            continue
        moment = parse_time(found["bracketed"] or found["bare"])
        if moment is None:
            report.reject("without a time", f"line {number}", entry)
            continue
        author = (found["angled"] or found["name"]).strip()
        yield ChatMessage(
            moment.seconds, author, found["text"].strip(), sent_at=moment.seconds if moment.absolute else None
        )
