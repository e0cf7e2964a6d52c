"""The words of a line as formats with word times write them: cleaned, each with the space before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from steno.captions.payload import printable
from steno.captions.script import needs_space
from steno.types import Segment, Word


def spaced_words(line: Segment) -> Iterator[tuple[str, Word]]:
    """A space or nothing, and a word with printable text, for each word that has any.

    There is a space where the line's text has white space, or anything else, between the two words.
    """
    at = 0
    before = ""
    for word in line.words:
        begin = line.text.find(word.text, at)
        text = printable(word.text)
        if not text:
            continue
        if not before:
            space = ""
        elif begin >= 0:
            space = " " if begin > at else ""
        else:
            space = " " if needs_space(before[-1], text[0]) else ""
        yield space, replace(word, text=text)
        at = begin + len(word.text) if begin >= 0 else at
        before = text
