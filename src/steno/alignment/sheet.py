"""Parses a sheet: lyrics or a script, as people write them down.

    [Verse 1]                         a section mark: not sung
    I have a little shadow            a line
    Up in the air (in the air)        a backing vocal in brackets: may be sung
    Under the wide sky (x2)           sung twice
                                      an empty line ends a section
    [Chorus]                          without lines: the lines of the earlier section of that name
    [Chorus x2]                       the section is sung twice
    [00:12.34] Dig the grave          time tags of an LRC file are ignored

A mark may also be a name alone on its line, as `Chorus:` or `(Verse 2)`, if it is one of the usual names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

Span = tuple[int, int]
"""Begin and end, in characters."""

MAX_REPEATS = 16
"""Larger counts after an `x` are text."""

_TIME_TAG = re.compile(r"\s*[\[<]\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?[\]>]\s*")
_COUNT = r"(?:[x×]\s?(\d{1,2})|(\d{1,2})\s?[x×])"
_LINE_COUNT = re.compile(rf"\s+[(\[]?\s*{_COUNT}\s*[)\]]?\s*$|\s*[(\[]\s*{_COUNT}\s*[)\]]\s*$", re.IGNORECASE)
_COUNT_ALONE = re.compile(rf"[(\[]?\s*(?:repeat\s*)?{_COUNT}\s*[)\]]?", re.IGNORECASE)
_MARK = re.compile(r"\[([^\[\]]*)\]:?")
_NAMES = (
    "intro|verse|chorus|refrain|hook|bridge|pre-?chorus|post-?chorus|outro|interlude|instrumental|break|solo|coda|"
    "strophe|refrain|couplet|estribillo|coro|puente"
)
_NAME_ALONE = re.compile(rf"\(?((?:{_NAMES})(?:\s+\d{{1,2}})?(?:\s+{_COUNT})?)\s*(?::\)?|\))", re.IGNORECASE)
_OPTIONAL = re.compile(r"\([^()]*\)|（[^（）]*）|\[[^\[\]]*\]")
"""Text in brackets, as in the line `Up in the air (in the air)`."""


@dataclass(frozen=True, slots=True)
class SheetLine:
    """A line that may be sung or spoken."""

    number: int
    """Of the line in the text, from 1."""
    text: str
    """As written, without time tags and a count of repetitions."""
    section: str | None
    """The last section mark before it."""
    starts_section: bool
    optional: tuple[Span, ...] = ()
    """Ranges of `text` in brackets."""
    is_copy: bool = False
    """Whether it stands here because of a count, or of a mark that names an earlier section."""


def parse_sheet(text: str) -> list[SheetLine]:
    """The lines of a sheet, in the order in which the sheet says that they are sung."""
    return list(_expanded(_sections(text)))


@dataclass(slots=True)
class _Section:
    name: str | None
    lines: list[list[SheetLine]]
    """Each with its copies."""
    count: int = 1
    is_marked: bool = True
    """Whether it begins with its mark; else with an empty line."""


def _sections(text: str) -> Iterator[_Section]:
    section, known = _Section(None, [], is_marked=False), set[str]()
    for number, raw in enumerate(text.splitlines(), 1):
        line = _TIME_TAG.sub(" ", raw).strip() if _TIME_TAG.search(raw) else raw.strip()
        name = _mark(line)
        if name is not None:
            yield section
            name, count = _counted(name)
            section = _Section(name, [], count)
        elif _COUNT_ALONE.fullmatch(line):
            section.count = _number(_COUNT_ALONE.fullmatch(line)) or 1
        elif not line:
            if section.lines or section.name in known:
                yield section
                section = _Section(section.name if section.lines else None, [], is_marked=False)
        else:
            text_of_line, count = _counted(line)
            made = SheetLine(number, text_of_line, section.name, not section.lines, _optional(text_of_line))
            known.add(section.name or "")
            section.lines.append([replace(made, is_copy=n > 0) for n in range(count)])
    yield section


def _expanded(sections: Iterator[_Section]) -> Iterator[SheetLine]:
    known: dict[str, Sequence[SheetLine]] = {}
    for section in sections:
        lines = [line for copies in section.lines for line in copies]
        name = (section.name or "").casefold()
        if lines:
            known.setdefault(name, lines)
            yield from lines
        elif section.is_marked and name in known:
            lines = [replace(line, is_copy=True) for line in known[name]]
            yield from lines
        for _ in range(section.count - 1):
            yield from (replace(line, is_copy=True) for line in lines)


def _mark(line: str) -> str | None:
    """The name in a section mark; None if the line is none. A count alone is none either."""
    if _COUNT_ALONE.fullmatch(line):
        return None
    found = _MARK.fullmatch(line) or _NAME_ALONE.fullmatch(line)
    return found[1].strip() if found else None


def _counted(text: str) -> tuple[str, int]:
    """The text without a count of repetitions behind it, and the count."""
    found = _LINE_COUNT.search(text)
    count = _number(found)
    if found is None or count is None or not text[: found.start()].strip():
        return text, 1
    return text[: found.start()].rstrip(), count


def _number(found: re.Match[str] | None) -> int | None:
    digits = next((group for group in found.groups() if group), "") if found else ""
    return int(digits) if digits.isdigit() and 1 <= int(digits) <= MAX_REPEATS else None


def _optional(text: str) -> tuple[Span, ...]:
    return tuple(found.span() for found in _OPTIONAL.finditer(text))
