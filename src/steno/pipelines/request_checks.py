"""Checks on what a request asks for, the same for the server and the command line."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from steno.backends.base import Capabilities
from steno.errors import InvalidRequestError, UnsupportedLanguageError
from steno.languages import code_of
from steno.translation.translator import MAX_GLOSSARY

TimingMode: TypeAlias = Literal["accurate", "fast"]
"""Where the times of subtitles come from: from the words as they were heard, or from their length."""


def check_language(language: str | None, capabilities: Capabilities, backend: str) -> str | None:
    """A request's `language` as an ISO 639-1 code; None = detect.

    Raises:
        UnsupportedLanguageError: nobody knows it, or this backend does not speak it.
    """
    if not language or language.strip().lower() in ("", "auto", "und"):
        return None
    code = code_of(language)
    if code is None:
        text = f"unsupported_language: {language[:50]!r} is not a known ISO 639-1 code or English name of a language"
        raise UnsupportedLanguageError(text, param="language")
    if capabilities.languages is not None and code not in capabilities.languages:
        spoken = ", ".join(sorted(capabilities.languages))
        text = f"unsupported_language: backend {backend!r} speaks {spoken} only, not {code!r}; it takes another backend"
        raise UnsupportedLanguageError(text, param="language")
    return code


def check_target(language: str) -> str:
    """The language to translate into, as a code; one that is not in our table stands for itself: an LLM may know it.

    Raises:
        UnsupportedLanguageError: it does not look like the name or code of a language.
    """
    name = language.strip()
    code = code_of(name)
    if code is not None:
        variant = re.fullmatch(r"[A-Za-z]{2,3}[-_]([A-Za-z]{2,8})", name)
        return f"{code}-{variant[1]}" if variant else code
    if name.lower() == "auto":
        raise UnsupportedLanguageError("a translation needs a language to translate into, not 'auto'", param="language")
    if not re.fullmatch(r"[^\W\d_]+(?:[ -][^\W\d_]+){0,4}", name) or len(name) > 50:
        raise UnsupportedLanguageError(
            f"{language[:50]!r} is neither a code nor a name of a language", param="language"
        )
    return name


def parse_glossary(text: str, separators: str = "\n,") -> dict[str, str]:
    """`term=translation`, parted by any of `separators`.

    Raises:
        InvalidRequestError: an entry without `=`, or too many.
    """
    entries = [entry.strip() for entry in re.split(f"[{separators}]", text) if entry.strip()]
    if len(entries) > MAX_GLOSSARY:
        raise InvalidRequestError(
            f"the glossary has {len(entries)} entries; {MAX_GLOSSARY} are allowed", param="glossary"
        )
    glossary: dict[str, str] = {}
    for entry in entries:
        term, equals, wanted = (part.strip() for part in entry.partition("="))
        if not (term and equals and wanted):
            raise InvalidRequestError(f"glossary: {entry!r} is not 'term=translation'", param="glossary")
        glossary[term] = wanted
    return glossary
