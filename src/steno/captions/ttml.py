"""TTML (W3C Timed Text Markup Language 2): a paragraph for each line, a span for each word.

Times of a span count from the beginning of its paragraph (TTML2, 12.1: children of a parallel time container).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

from steno.captions.clock import ms
from steno.captions.payload import clock, printable
from steno.captions.spaced_words import spaced_words
from steno.types import Segment

_NOT_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")
"""Beside the control characters that no format shows."""


def ttml(lines: Iterable[Segment], *, language: str | None = None) -> str:
    """The file's text. Lines without visible text are skipped. `language`: a code; None = unknown."""
    paragraphs = "".join(_paragraphs(lines))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter"'
        f' ttp:timeBase="media" xml:lang={quoteattr(_text(language or ""))} xml:space="preserve">\n'
        f"<body><div>\n{paragraphs}</div></body>\n</tt>\n"
    )


def _paragraphs(lines: Iterable[Segment]) -> Iterator[str]:
    for line in lines:
        start_ms, end_ms = ms(line.start_s), ms(line.end_s)
        content = "".join(_spans(line, start_ms)) or escape(_text(line.text))
        if content:
            yield f'<p begin="{clock(start_ms, ".")}" end="{clock(max(end_ms, start_ms), ".")}">{content}</p>\n'


def _spans(line: Segment, start_ms: int) -> Iterator[str]:
    for space, word in spaced_words(line):
        begin_ms = max(ms(word.start_s) - start_ms, 0)
        end_ms = max(ms(word.end_s) - start_ms, begin_ms)
        text = escape(_text(word.text))
        yield f'{space}<span begin="{clock(begin_ms, ".")}" end="{clock(end_ms, ".")}">{text}</span>'


def _text(text: str) -> str:
    return _NOT_XML.sub("", printable(text))
